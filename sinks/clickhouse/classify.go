package clickhouse

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// classify reads an answer by the number of the exception, wherever that stands: in the header X-ClickHouse-Exception-Code,
// which can come after a status of 200, or in the body alone. Without an exception a 200 without a body is
// success, and the status speaks for any other answer: it may be that of a proxy.
func classify(u sidetrack.Unit, r *sidetrack.Response) error {
	code, said := exception(r)
	if code == 0 {
		return withoutException(u, r)
	}
	class := classOf(code, said)
	err := describe(code, said, class)
	switch class {
	case sidetrack.Throttled:
		return sidetrack.RetryAfter(err, sidetrack.ParseRetryAfter(r.Header))
	case sidetrack.Rejected:
		return sidetrack.Permanent(err)
	case sidetrack.Misconfigured:
		return sidetrack.Misconfiguration(err)
	}
	return err
}

func withoutException(u sidetrack.Unit, r *sidetrack.Response) error {
	if r.Status != http.StatusOK {
		return sidetrack.DefaultClassify(u, r)
	}
	switch {
	case len(strings.TrimSpace(string(r.Body))) > 0:
		return sidetrack.Misconfiguration(fmt.Errorf("clickhouse: status 200 with a body, which ClickHouse does not give to an insert: is url its HTTP interface?"))
	case r.Cut:
		return fmt.Errorf("clickhouse: status 200, and the answer broke off")
	}
	return nil
}

// exceptionText is how an exception begins: "Code: 60. DB::Exception: …", until 21.8 "Code: 60, e.displayText() = DB::Exception: …".
var exceptionText = regexp.MustCompile(`(?:^|\n)Code: (\d{1,6})[.,] `)

// exception returns the number of the exception in an answer, 0 when there is none, and what the body says of it.
func exception(r *sidetrack.Response) (code int, said string) {
	body := string(r.Body)
	at := exceptionText.FindStringSubmatchIndex(body)
	if at != nil {
		said = strings.TrimLeft(body[at[0]:], "\n")
	}
	if header := r.Header.Get("X-ClickHouse-Exception-Code"); header != "" {
		if n, err := strconv.Atoi(strings.TrimSpace(header)); err != nil || n < 0 {
			return unreadable, said
		} else if n > 0 {
			return n, said
		}
	}
	if at != nil {
		if n, _ := strconv.Atoi(body[at[2]:at[3]]); n > 0 {
			return n, said
		}
		return unreadable, said
	}
	return 0, ""
}

// unreadable stands for the number of an exception that has none.
const unreadable = -1

// classes says what exceptions mean for an insert. What is not here is tried again: the engine bounds that by age, and
// halves units that keep failing while others are taken.
var classes = func() map[int]sidetrack.Class {
	out := map[int]sidetrack.Class{}
	for class, codes := range map[sidetrack.Class][]int{
		// The server has too much to do, or cannot write for now.
		sidetrack.Throttled: {
			173, // CANNOT_ALLOCATE_MEMORY
			201, // QUOTA_EXCEEDED
			202, // TOO_MANY_SIMULTANEOUS_QUERIES
			203, // NO_FREE_CONNECTION
			225, // NO_ZOOKEEPER
			241, // MEMORY_LIMIT_EXCEEDED
			242, // TABLE_IS_READ_ONLY: a replica without its Keeper
			243, // NOT_ENOUGH_SPACE
			252, // TOO_MANY_PARTS
			254, // NO_ACTIVE_REPLICAS
			285, // TOO_FEW_LIVE_REPLICAS
			286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
			364, // RECEIVED_ERROR_TOO_MANY_REQUESTS
			439, // CANNOT_SCHEDULE_TASK
			745, // SERVER_OVERLOADED
		},
		// The address, the credentials, the table or the settings are not as they have to be: each insert will be answered so.
		sidetrack.Misconfigured: {
			7, 8, 10, 15, 16, 20, // columns that do not exist, or are not as many
			44,             // ILLEGAL_COLUMN: a column that is computed cannot be inserted into
			46, 47, 50, 56, // UNKNOWN_FUNCTION, _IDENTIFIER, _TYPE, _STORAGE
			48,     // NOT_IMPLEMENTED
			53,     // TYPE_MISMATCH
			60, 81, // UNKNOWN_TABLE, UNKNOWN_DATABASE
			62,                 // SYNTAX_ERROR: the statement is the sink's own, somebody has changed it on the way
			73, 78, 80, 85, 89, // UNKNOWN_FORMAT and others of the statement; UNKNOWN_COMPRESSION_METHOD
			115,                     // UNKNOWN_SETTING
			164,                     // READONLY
			192, 193, 194, 195, 516, // user, password, address
			218,                // TABLE_IS_DROPPED
			229,                // QUERY_IS_TOO_LARGE: the statement, which rows are no part of
			291, 497, 511, 512, // DATABASE_ACCESS_DENIED, ACCESS_DENIED, UNKNOWN_ROLE, SET_NON_GRANTED_ROLE
			344, 392, // SUPPORT_IS_DISABLED, QUERY_IS_PROHIBITED
			349,                          // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN: the sink sends no null
			452, 455, 457, 471, 472, 492, // settings that are not allowed or have no such value; ACCESS_ENTITY_NOT_FOUND
		},
		// A row cannot be read.
		sidetrack.Rejected: {
			6, 25, 26, 27, 38, 41, 72, 117, 130, 376, 441, 467, 675, 676, // CANNOT_PARSE_…, INCORRECT_DATA
			69, 70, 128, 131, 190, 321, 407, // out of range or too large
			248, // INVALID_PARTITION_VALUE
			306, // TOO_DEEP_RECURSION
			469, // VIOLATED_CONSTRAINT
			691, // UNKNOWN_ELEMENT_OF_ENUM
		},
	} {
		for _, c := range codes {
			out[c] = class
		}
	}
	return out
}()

func classOf(code int, said string) sidetrack.Class {
	switch {
	case code == 252 && strings.Contains(said, "partitions"):
		return sidetrack.Rejected // more than max_partitions_per_insert_block: halves of the unit have fewer
	case code == 117 && strings.Contains(said, "Unknown field"):
		return sidetrack.Misconfigured // the columns are named: it is a view or a proxy that has others
	}
	if class, ok := classes[code]; ok {
		return class
	}
	return sidetrack.Retry
}

var (
	exceptionName = regexp.MustCompile(`\(([A-Z][A-Z0-9_]{2,60})\)`)
	exceptionKey  = regexp.MustCompile(`while reading the value of key ([a-z][a-z0-9_]{0,60})`)
	exceptionRow  = regexp.MustCompile(`\(at row (\d{1,9})\)`)
)

// describe makes the error. What ClickHouse says of rows and statements quotes them: of that only the column and the row
// are kept, so that no event ends in a log. What it says of tables, users and its own state is kept.
func describe(code int, said string, class sidetrack.Class) error {
	what := fmt.Sprintf("clickhouse: exception %d", code)
	if m := exceptionName.FindAllStringSubmatch(said, -1); m != nil {
		what += " " + m[len(m)-1][1]
	}
	switch {
	case class == sidetrack.Throttled, class == sidetrack.Misconfigured && code != 62 && code != 53 && code != 117:
		if _, message, ok := strings.Cut(said, "DB::Exception: "); ok {
			what += ": " + text.Clean(message, 300)
		}
	default:
		if m := exceptionKey.FindStringSubmatch(said); m != nil {
			what += " in column " + m[1]
		}
		if m := exceptionRow.FindStringSubmatch(said); m != nil {
			what += " of row " + m[1]
		}
	}
	switch code {
	case 60, 16:
		what += " (sidetrack ddl prints the statement that makes the table, with all its columns)"
	}
	return fmt.Errorf("%s", what)
}
