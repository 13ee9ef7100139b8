package clickhousefake

import (
	"net/url"
	"strconv"
)

// settings are those of a query that differ from their defaults.
type settings map[string]string

// kinds of the settings that the fake knows: what else a URL names is an error, as in ClickHouse.
var kinds = map[string]string{
	"async_insert": "bool", "wait_for_async_insert": "bool", "async_insert_deduplicate": "bool", "insert_deduplicate": "bool",
	"insert_deduplication_token": "text", "wait_end_of_query": "bool", "date_time_input_format": "text", "input_format_skip_unknown_fields": "bool",
	"max_partitions_per_insert_block": "number", "async_insert_busy_timeout_ms": "number", "insert_quorum": "text", "max_execution_time": "number", "mutations_sync": "number",
}

var defaults = settings{
	"async_insert": "1", "wait_for_async_insert": "1", "insert_deduplicate": "1", "date_time_input_format": "basic",
	"input_format_skip_unknown_fields": "0", "max_partitions_per_insert_block": "100",
}

// notSettings are parameters of the HTTP interface itself.
var notSettings = map[string]bool{"query": true, "database": true, "query_id": true}

func readSettings(q url.Values) (settings, error) {
	set := settings{}
	for k, v := range defaults {
		set[k] = v
	}
	for k, v := range q {
		if notSettings[k] {
			continue
		}
		switch kinds[k] {
		case "":
			return nil, throw(115, "Setting "+k+" is neither a builtin setting nor started with the prefix 'SQL_' registered for user-defined settings")
		case "bool":
			if v[0] != "0" && v[0] != "1" {
				return nil, throw(467, "Cannot parse bool from string '"+v[0]+"'")
			}
		case "number":
			if _, err := strconv.ParseUint(v[0], 10, 64); err != nil {
				return nil, throw(72, "Cannot parse number from string '"+v[0]+"'")
			}
		}
		set[k] = v[0]
	}
	if f := set["date_time_input_format"]; f != "basic" && f != "best_effort" {
		return nil, throw(36, "Unexpected value of DateTimeInputFormat: '"+f+"'. Must be one of ['basic', 'best_effort', 'best_effort_us']")
	}
	return set, nil
}

func (s settings) flag(name string) bool { return s[name] == "1" }

func (s settings) number(name string) int {
	n, _ := strconv.Atoi(s[name])
	return n
}
