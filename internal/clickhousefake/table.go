package clickhousefake

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Row is one row of a table by the names of its columns: texts as they are, other values in ClickHouse's own text form.
type Row map[string]string

// table holds what was inserted. The server's lock guards it.
type table struct {
	*definition
	rows  []Row          // in the order of insertion
	parts map[string]int // active parts by partition
	log   []string       // ids of inserted blocks, the newest last: what repeats are known by
}

// parse reads rows of JSONEachRow.
func (t *table) parse(body []byte, columns []string, set settings) ([]Row, error) {
	if columns == nil {
		for _, c := range t.columns {
			columns = append(columns, c.name)
		}
	}
	for i, name := range columns {
		if t.column(name) == nil {
			return nil, throw(16, fmt.Sprintf("No such column %s in table %s.%s", name, t.database, t.table))
		}
		if slices.Contains(columns[:i], name) {
			return nil, throw(15, "Column "+name+" specified more than once")
		}
	}
	var rows []Row
	d := json.NewDecoder(bytes.NewReader(body))
	for n := 1; ; n++ {
		row, err := t.parseRow(d, columns, set)
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			e, ok := errors.AsType[*exception](err)
			if !ok {
				e = throw(27, "Cannot parse input: expected '{' before: "+clip(err.Error()))
			}
			e.text += fmt.Sprintf(": (at row %d)\n", n)
			return nil, e
		}
		rows = append(rows, row)
	}
}

func (t *table) parseRow(d *json.Decoder, columns []string, set settings) (Row, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	if token != json.Delim('{') {
		return nil, throw(27, fmt.Sprintf("Cannot parse input: expected '{' before: '%v'", token))
	}
	row := Row{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, throw(117, "Cannot parse JSON object: "+err.Error())
		}
		if !slices.Contains(columns, key) {
			if set.flag("input_format_skip_unknown_fields") {
				continue
			}
			return nil, throw(117, "Unknown field found while parsing JSONEachRow format: "+key)
		}
		if _, twice := row[key]; twice {
			return nil, throw(117, "Duplicate field found while parsing JSONEachRow format: "+key)
		}
		text, err := t.column(key).typ.read(raw, set["date_time_input_format"] == "best_effort")
		if err != nil {
			if e, ok := errors.AsType[*exception](err); ok {
				e.text += ": (while reading the value of key " + key + ")"
			}
			return nil, err
		}
		row[key] = text
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for _, c := range t.columns {
		if _, ok := row[c.name]; !ok {
			row[c.name] = c.typ.zero()
		}
	}
	return row, nil
}

// insert adds rows as one block a partition. It leaves out the blocks that were inserted before, as far as the log goes.
func (t *table) insert(rows []Row, set settings, partsToThrow int) error {
	blocks := map[string][]Row{}
	for _, r := range rows {
		p := t.key(t.partition, r)
		blocks[p] = append(blocks[p], r)
	}
	if limit := set.number("max_partitions_per_insert_block"); limit > 0 && len(blocks) > limit {
		return throw(252, fmt.Sprintf("Too many partitions for single INSERT block (more than %d)", limit))
	}
	for p := range blocks {
		if partsToThrow > 0 && t.parts[p] >= partsToThrow {
			n := t.parts[p]
			t.parts[p] /= 2 // merges go on meanwhile
			return throw(252, fmt.Sprintf("Too many parts (%d with average size of 1.00 KiB) in table '%s.%s'. Merges are processing significantly slower than inserts", n, t.database, t.table))
		}
	}
	window := t.window()
	if set.flag("async_insert") && !(t.replicated() && set.flag("async_insert_deduplicate")) || !set.flag("async_insert") && !set.flag("insert_deduplicate") {
		window = 0
	}
	for _, p := range slices.Sorted(maps.Keys(blocks)) {
		id := p + "_" + set["insert_deduplication_token"]
		if set["insert_deduplication_token"] == "" {
			id = p + "_" + digest(blocks[p])
		}
		if window > 0 && slices.Contains(t.log, id) {
			continue
		}
		if window > 0 {
			t.log = append(t.log, id)
			t.log = t.log[max(0, len(t.log)-window):]
		}
		t.rows = append(t.rows, blocks[p]...)
		t.parts[p]++
	}
	return nil
}

func digest(rows []Row) string {
	h := sha256.New()
	for _, r := range rows {
		b, _ := json.Marshal(r) // sorts the keys
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// window is how many blocks the table remembers.
func (t *table) window() int {
	name, window := "non_replicated_deduplication_window", 0
	if t.replicated() {
		name, window = "replicated_deduplication_window", 1000
	}
	if v, ok := t.settings[name]; ok {
		window, _ = strconv.Atoi(v)
	}
	return window
}

// key evaluates expressions.
func (t *table) key(exprs []expr, r Row) string {
	var b strings.Builder
	for _, e := range exprs {
		v := r[e.column]
		switch e.function {
		case "toDate":
			v = v[:len("2006-01-02")]
		case "toYYYYMM":
			v = v[:4] + v[5:7]
		}
		b.WriteString(v)
		b.WriteByte(0)
	}
	return b.String()
}

// final is what SELECT … FINAL returns: of the rows with the same sorting key in a partition the one with the greatest
// version, the last where there is none or it is the same.
func (t *table) final() []Row {
	if !strings.HasSuffix(t.engine, "ReplacingMergeTree") {
		return t.rows
	}
	at := map[string]int{}
	var out []Row
	for _, r := range t.rows {
		k := t.key(t.partition, r) + t.key(t.order, r)
		i, seen := at[k]
		switch {
		case !seen:
			at[k] = len(out)
			out = append(out, r)
		case t.version == "" || !t.older(r, out[i]):
			out[i] = r
		}
	}
	return out
}

// older reports whether the version of a is less than that of b. Times of one scale compare as texts.
func (t *table) older(a, b Row) bool {
	x, y := a[t.version], b[t.version]
	if t.column(t.version).typ.name != "DateTime64" && len(x) != len(y) {
		return len(x) < len(y)
	}
	return x < y
}
