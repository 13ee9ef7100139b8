package clickhousefake

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// typ is the data type of a column.
type typ struct {
	name     string
	numbers  []int // of DateTime64 and Decimal
	nullable bool
}

// Null is what a Nullable column holds for null in a Row.
const Null = "\\N"

// zero is what a column holds that a row does not name.
func (t typ) zero() string {
	switch {
	case t.nullable:
		return Null
	case t.name == "String":
		return ""
	case t.name == "UUID":
		return "00000000-0000-0000-0000-000000000000"
	case t.name == "Bool":
		return "false"
	case t.name == "DateTime64":
		return time.Unix(0, 0).UTC().Format(timeFormat(t.numbers[0]))
	case t.name == "Date":
		return "1970-01-01"
	}
	return "0"
}

func timeFormat(scale int) string {
	if scale == 0 {
		return "2006-01-02 15:04:05"
	}
	return "2006-01-02 15:04:05." + strings.Repeat("0", scale)
}

var (
	uuidForm     = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	numberForm   = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	isoForm      = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)
	basicForm    = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$`)
	fractionForm = regexp.MustCompile(`\.\d+`)
	integerBits  = map[string]uint{"UInt8": 8, "UInt16": 16, "UInt32": 32, "UInt64": 64, "Int8": 8, "Int16": 16, "Int32": 32, "Int64": 64}
)

// read checks a JSON value against the type, and returns it as a Row holds it. It is stricter than ClickHouse, which
// converts much: what a sender relies on is to be said by the type.
func (t typ) read(raw json.RawMessage, bestEffort bool) (string, error) {
	s := string(raw)
	if s == "null" {
		if !t.nullable {
			return "", throw(349, "Cannot insert NULL value into column of type "+t.name)
		}
		return Null, nil
	}
	var text string
	quoted := s[0] == '"'
	if quoted {
		if !utf8.ValidString(s) {
			return "", throw(117, "Cannot parse a text that is no UTF-8")
		}
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", throw(26, "Cannot parse quoted string: expected closing quote '\"'")
		}
	}
	switch t.name {
	case "String":
		if !quoted {
			return "", throw(27, "Cannot parse input: expected '\"' before: '"+clip(s)+"'")
		}
		return text, nil
	case "UUID":
		if !quoted || !uuidForm.MatchString(text) {
			return "", throw(376, "Cannot parse uuid "+clip(s))
		}
		return strings.ToLower(text), nil
	case "Bool":
		if s != "true" && s != "false" {
			return "", throw(467, "Invalid boolean value "+clip(s))
		}
		return s, nil
	case "DateTime64":
		if !quoted {
			return "", throw(27, "Cannot parse input: expected '\"' before: '"+clip(s)+"'")
		}
		return t.readTime(text, bestEffort)
	case "Decimal":
		return t.readDecimal(s)
	case "Float64":
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return "", throw(72, "Cannot read floating point value "+clip(s))
		}
		return strconv.FormatFloat(f, 'g', -1, 64), nil
	case "Date":
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return "", throw(38, "Cannot parse date "+clip(s))
		}
		return text, nil
	}
	bits := integerBits[t.name]
	var err error
	if strings.HasPrefix(t.name, "U") {
		_, err = strconv.ParseUint(s, 10, int(bits))
	} else {
		_, err = strconv.ParseInt(s, 10, int(bits))
	}
	if err != nil {
		return "", throw(27, "Cannot parse input: expected a value of "+t.name+" before: '"+clip(s)+"'")
	}
	return s, nil
}

func (t typ) readTime(text string, bestEffort bool) (string, error) {
	var at time.Time
	var err error
	switch {
	case bestEffort && isoForm.MatchString(text):
		at, err = time.Parse(time.RFC3339Nano, text)
	case basicForm.MatchString(text):
		at, err = time.Parse("2006-01-02 15:04:05.999999999", text)
	default:
		err = fmt.Errorf("of no known form")
	}
	if err == nil && (at.UTC().Year() < 1900 || at.UTC().Year() > 2299) {
		err = fmt.Errorf("out of range")
	}
	if m := fractionForm.FindString(text); err == nil && len(m) > 1+t.numbers[0] {
		err = fmt.Errorf("has more decimals than the column keeps")
	}
	if err != nil {
		return "", throw(41, "Cannot parse DateTime64 '"+clip(text)+"': "+err.Error())
	}
	return at.UTC().Format(timeFormat(t.numbers[0])), nil
}

func (t typ) readDecimal(s string) (string, error) {
	if !numberForm.MatchString(s) {
		return "", throw(72, "Cannot parse decimal "+clip(s))
	}
	precision, scale := t.numbers[0], t.numbers[1]
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if len(strings.TrimLeft(whole, "0")) > precision-scale || len(fraction) > scale {
		return "", throw(69, fmt.Sprintf("Too many digits (%d > %d) to fit a Decimal(%d, %d)", len(whole)+scale, precision, precision, scale))
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return "", throw(72, "Cannot parse decimal "+clip(s))
	}
	out := r.FloatString(scale)
	if scale > 0 {
		out = strings.TrimSuffix(strings.TrimRight(out, "0"), ".")
	}
	return out, nil
}

func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
