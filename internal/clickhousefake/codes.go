package clickhousefake

import "net/http"

// exception is an error as ClickHouse reports it.
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

func throw(code int, text string) *exception { return &exception{code, text} }

// names of the codes that the fake throws, from src/Common/ErrorCodes.cpp.
var names = map[int]string{
	15: "DUPLICATE_COLUMN", 16: "NO_SUCH_COLUMN_IN_TABLE", 26: "CANNOT_PARSE_QUOTED_STRING", 27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
	36: "BAD_ARGUMENTS", 41: "CANNOT_PARSE_DATETIME", 44: "ILLEGAL_COLUMN", 48: "NOT_IMPLEMENTED", 50: "UNKNOWN_TYPE", 57: "TABLE_ALREADY_EXISTS",
	60: "UNKNOWN_TABLE", 62: "SYNTAX_ERROR", 69: "ARGUMENT_OUT_OF_BOUND", 72: "CANNOT_PARSE_NUMBER", 73: "UNKNOWN_FORMAT", 81: "UNKNOWN_DATABASE",
	89: "UNKNOWN_COMPRESSION_METHOD", 115: "UNKNOWN_SETTING", 117: "INCORRECT_DATA", 159: "TIMEOUT_EXCEEDED", 164: "READONLY", 194: "REQUIRED_PASSWORD",
	202: "TOO_MANY_SIMULTANEOUS_QUERIES", 210: "NETWORK_ERROR", 241: "MEMORY_LIMIT_EXCEEDED", 242: "TABLE_IS_READ_ONLY", 252: "TOO_MANY_PARTS",
	271: "CANNOT_DECOMPRESS", 319: "UNKNOWN_STATUS_OF_INSERT", 349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", 376: "CANNOT_PARSE_UUID",
	47: "UNKNOWN_IDENTIFIER", 467: "CANNOT_PARSE_BOOL", 497: "ACCESS_DENIED", 516: "AUTHENTICATION_FAILED", 1001: "STD_EXCEPTION",
}

// status is the HTTP status of an exception, as src/Server/HTTP/exceptionCodeToHTTPStatus.cpp maps it: what is not there
// is 500, missing columns among them.
func status(code int) int {
	switch code {
	case 194:
		return http.StatusUnauthorized
	case 192, 193, 516, 512, 497:
		return http.StatusForbidden
	case 36, 6, 25, 26, 38, 41, 72, 441, 675, 676, 27, 376, 15, 44, 8, 62, 117, 53, 321:
		return http.StatusBadRequest
	case 60, 46, 47, 50, 56, 81, 115, 73, 78, 511:
		return http.StatusNotFound
	case 229:
		return http.StatusRequestEntityTooLarge
	case 48:
		return http.StatusNotImplemented
	case 209, 76, 439:
		return http.StatusServiceUnavailable
	case 381:
		return http.StatusLengthRequired
	case 159:
		return http.StatusRequestTimeout
	}
	return http.StatusInternalServerError
}
