package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// decoder fills Go values from nodes and collects every problem on the way.
//
// A struct's keys are the names in its yaml tags; "-" leaves a field out, ",inline"
// takes in the keys of an embedded struct, ",required" wants the key to be there. A tag
// enum:"drop,mark" beside it lists the only values of a text, sidetrack:"intake" marks what needs the request. A
// value that is wrong leaves its field as it was.
type decoder struct {
	problems
	env    func(string) (string, bool)
	mounts func(n *node, v reflect.Value, path string) bool // fills sidetrack.Mounts
}

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
	secretType      = reflect.TypeFor[sidetrack.Secret]()
	moneyType       = reflect.TypeFor[sidetrack.Money]()
	purposeType     = reflect.TypeFor[sidetrack.Purpose]()
	stateType       = reflect.TypeFor[sidetrack.State]()
	mountsType      = reflect.TypeFor[sidetrack.Mounts]()
)

// decode reports whether v could be filled without a problem.
func (d *decoder) decode(n *node, v reflect.Value, path string) bool {
	switch v.Type() {
	case durationType, moneyType, purposeType, stateType:
		return d.special(n, v, path)
	case mountsType:
		return d.mounts(n, v, path)
	}
	if v.Kind() != reflect.Pointer && v.CanAddr() && v.Addr().Type().Implements(textUnmarshaler) {
		return d.text(n, v, path)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.kind == null && !isRecord(v.Type().Elem()) {
			v.SetZero()
			return true
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.decode(n, v.Elem(), path)
	case reflect.Struct:
		return d.record(n, v, path)
	case reflect.Slice:
		return d.slice(n, v, path)
	case reflect.Map:
		return d.dict(n, v, path)
	case reflect.Interface:
		value, ok := d.any(n, path)
		if ok && value != nil {
			v.Set(reflect.ValueOf(value))
		}
		return ok
	default:
		return d.basic(n, v, path)
	}
}

// isRecord reports whether a type is written as a mapping, so that an empty value
// means one with nothing but defaults.
func isRecord(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(textUnmarshaler)
}

// scalar returns the text of a single value with variables replaced.
func (d *decoder) scalar(n *node, path, want string) (string, bool) {
	switch n.kind {
	case broken:
		return "", false
	case null:
		d.at(n, path, "has no value", "want "+want+"; remove the key to keep the default")
		return "", false
	case list, mapping:
		d.at(n, path, "is "+n.kind.String(), "want "+want)
		return "", false
	}
	text, used, problem, hint := expand(n.text, d.env)
	for _, v := range used {
		d.mask.hide(v, n.text)
	}
	if problem != "" {
		d.at(n, path, problem, hint)
		return "", false
	}
	return text, true
}

// bad reports a value as it is written, so that what came from a variable stays out of the message.
func (d *decoder) bad(n *node, path, problem, hint string) bool {
	d.at(n, path, strconv.Quote(clip(n.text))+" "+problem, hint)
	return false
}

func clip(s string) string {
	const longest = 60
	if len(s) > longest {
		return strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}

func (d *decoder) special(n *node, v reflect.Value, path string) bool {
	want := map[reflect.Type]string{
		durationType: "a duration such as 500ms, 5s or 72h",
		moneyType:    "an amount such as 19.99",
		purposeType:  "a purpose such as analytics_storage",
		stateType:    "granted, denied or unknown",
	}[v.Type()]
	text, ok := d.scalar(n, path, want)
	if !ok {
		return false
	}
	switch v.Type() {
	case durationType:
		t, err := parseDuration(text)
		if err != nil {
			return d.bad(n, path, "is not a duration", "write a number with a unit: 500ms, 5s, 10m, 72h, 30d")
		}
		if t < 0 {
			return d.bad(n, path, "is negative", "write 0s or more")
		}
		v.SetInt(int64(t))
	case moneyType:
		m, err := sidetrack.ParseMoney(text)
		if err != nil {
			return d.bad(n, path, err.Error(), "write an amount such as 19.99")
		}
		v.SetInt(int64(m))
	case purposeType:
		p, err := sidetrack.ParsePurpose(text)
		if err != nil {
			names := make([]string, 0, 7)
			for _, p := range sidetrack.Purposes() {
				names = append(names, string(p))
			}
			return d.bad(n, path, "is not a purpose", suggestion(text, "purposes", names))
		}
		v.SetString(string(p))
	case stateType:
		s, ok := sidetrack.ParseState(text)
		if !ok {
			return d.bad(n, path, "is not a state of consent", suggestion(text, "states", []string{"granted", "denied", "unknown"}))
		}
		v.SetUint(uint64(s))
	}
	return true
}

var days = regexp.MustCompile(`^(\d{1,6})d(.*)$`)

// parseDuration is time.ParseDuration with days of 24 hours in front.
func parseDuration(s string) (time.Duration, error) {
	m := days.FindStringSubmatch(s)
	if m == nil {
		return time.ParseDuration(s)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, err
	}
	var rest time.Duration
	if m[2] != "" {
		if rest, err = time.ParseDuration(m[2]); err != nil {
			return 0, err
		}
	}
	total := time.Duration(n)*24*time.Hour + rest
	if n > math.MaxInt64/int(24*time.Hour) || total < 0 {
		return 0, strconv.ErrRange
	}
	return total, nil
}

func (d *decoder) text(n *node, v reflect.Value, path string) bool {
	text, ok := d.scalar(n, path, "a single value")
	if !ok {
		return false
	}
	if v.Type() == secretType {
		d.mask.hide(text, maskedText)
	}
	fresh := reflect.New(v.Type())
	if err := fresh.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		if v.Type() == secretType {
			d.at(n, path, "is not usable", "")
			return false
		}
		return d.bad(n, path, strings.ReplaceAll(err.Error(), strconv.Quote(text)+" ", ""), "")
	}
	v.Set(fresh.Elem())
	return true
}

func (d *decoder) basic(n *node, v reflect.Value, path string) bool {
	switch v.Kind() {
	case reflect.String:
		text, ok := d.scalar(n, path, "a text")
		if ok {
			v.SetString(text)
		}
		return ok
	case reflect.Bool:
		text, ok := d.scalar(n, path, "true or false")
		if !ok {
			return false
		}
		if text != "true" && text != "false" {
			return d.bad(n, path, "is neither true nor false", "write true or false")
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		text, ok := d.scalar(n, path, "a whole number")
		if !ok {
			return false
		}
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return d.badNumber(n, path, err, "is not a whole number", v.Type())
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		text, ok := d.scalar(n, path, "a whole number from 0")
		if !ok {
			return false
		}
		u, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return d.badNumber(n, path, err, "is not a whole number from 0", v.Type())
		}
		v.SetUint(u)
	case reflect.Float32, reflect.Float64:
		text, ok := d.scalar(n, path, "a number")
		if !ok {
			return false
		}
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return d.bad(n, path, "is not a number", "write a number such as 0.5")
		}
		v.SetFloat(f)
	default:
		d.at(n, path, "cannot be set in a configuration file", "")
		return false
	}
	return true
}

func (d *decoder) badNumber(n *node, path string, err error, problem string, t reflect.Type) bool {
	if !strings.HasSuffix(err.Error(), strconv.ErrRange.Error()) {
		return d.bad(n, path, problem, "write digits alone, such as 8")
	}
	bits := t.Bits()
	if t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64 {
		return d.bad(n, path, "is out of range", fmt.Sprintf("use 0 to %d", uint64(math.MaxUint64)>>(64-bits)))
	}
	most := int64(math.MaxInt64) >> (64 - bits)
	return d.bad(n, path, "is out of range", fmt.Sprintf("use %d to %d", -most-1, most))
}

func (d *decoder) slice(n *node, v reflect.Value, path string) bool {
	switch n.kind {
	case broken:
		return false
	case null:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		return true
	case scalar:
		d.at(n, path, "is a single value, want a list", "write ["+clip(n.text)+"]")
		return false
	case mapping:
		d.at(n, path, "is a mapping, want a list", `begin each element with "- "`)
		return false
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	good := true
	for i, item := range n.items {
		good = d.decode(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i)) && good
	}
	if good {
		v.Set(out)
	}
	return good
}

func (d *decoder) dict(n *node, v reflect.Value, path string) bool {
	if v.Type().Key().Kind() != reflect.String {
		d.at(n, path, "cannot be set in a configuration file", "")
		return false
	}
	if !d.isMapping(n, path) {
		return false
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.fields))
	good := true
	for _, f := range n.fields {
		value := reflect.New(v.Type().Elem()).Elem()
		if !d.decode(f.value, value, join(path, f.key)) {
			good = false
			continue
		}
		out.SetMapIndex(reflect.ValueOf(f.key).Convert(v.Type().Key()), value)
	}
	if good {
		v.Set(out)
	}
	return good
}

// isMapping reports anything but a mapping or nothing.
func (d *decoder) isMapping(n *node, path string) bool {
	if n.kind == mapping || n.kind == null {
		return true
	}
	if n.kind != broken {
		d.at(n, path, "is "+n.kind.String()+", want a mapping", "write key: value")
	}
	return false
}

// any gives a value its type by how it is written.
func (d *decoder) any(n *node, path string) (any, bool) {
	switch n.kind {
	case null:
		return nil, true
	case list:
		out, good := make([]any, len(n.items)), true
		for i, item := range n.items {
			v, ok := d.any(item, fmt.Sprintf("%s[%d]", path, i))
			out[i], good = v, good && ok
		}
		return out, good
	case mapping:
		out, good := make(map[string]any, len(n.fields)), true
		for _, f := range n.fields {
			v, ok := d.any(f.value, join(path, f.key))
			out[f.key], good = v, good && ok
		}
		return out, good
	case broken:
		return nil, false
	}
	text, ok := d.scalar(n, path, "a value")
	if !ok {
		return nil, false
	}
	switch n.plain {
	case isBool:
		return text == "true", true
	case isInt:
		if i, err := strconv.ParseInt(text, 0, 64); err == nil {
			return i, true
		}
		return nil, d.bad(n, path, "is out of range", "put it in quotes to keep it as text")
	case isFloat:
		if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, true
		}
		return nil, d.bad(n, path, "is not a finite number", "put it in quotes to keep it as text")
	}
	return text, true
}
