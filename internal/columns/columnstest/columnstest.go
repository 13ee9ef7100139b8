// Package columnstest makes events for the tests of those who write tables.
package columnstest

import (
	"math"
	"reflect"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack"
)

// Events generates events with anything that JSON can hold in any of their fields. Not all of them could be read
// from their JSON again: its reader has limits.
func Events() *rapid.Generator[*sidetrack.Event] {
	return rapid.Custom(func(t *rapid.T) *sidetrack.Event {
		e := new(sidetrack.Event)
		fill(t, reflect.ValueOf(e).Elem())
		return e
	})
}

// fill sets everything that v holds to something, by reflection: a new field of the event is in it by itself.
func fill(t *rapid.T, v reflect.Value) {
	if rapid.IntRange(0, 5).Draw(t, "empty") == 0 {
		return
	}
	text := rapid.OneOf(rapid.SampledFrom([]string{"a", "ä", "\xff", "1", "", "\u2028", "\x00", `"\`, "{", "a,b:c]", "null"}), rapid.String())
	switch v.Interface().(type) {
	case time.Time:
		sec := rapid.OneOf(rapid.Int64Range(946684800, 4102444800), rapid.Int64Range(-62135596800, 253402300799)).Draw(t, "second")
		v.Set(reflect.ValueOf(time.Unix(sec, rapid.SampledFrom([]int64{0, 1, 1e3, 123456789, 1e9 - 1}).Draw(t, "ns")).UTC()))
		return
	case uuid.UUID:
		v.Set(reflect.ValueOf(uuid.NewSHA1(uuid.Nil, []byte(text.Draw(t, "id")))))
		return
	case time.Duration:
		v.SetInt(rapid.Int64().Draw(t, "duration"))
		return
	case sidetrack.Consent:
		c := sidetrack.Consent{How: text.Draw(t, "how")}
		for _, p := range sidetrack.Purposes() {
			c.Set(p, rapid.SampledFrom([]sidetrack.State{sidetrack.Unknown, sidetrack.Granted, sidetrack.Denied}).Draw(t, "state"))
		}
		v.Set(reflect.ValueOf(c))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(t, v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.String:
		v.SetString(text.Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(rapid.Int64Range(0, math.MaxInt32).Draw(t, "int"))
	case reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Float64:
		v.SetFloat(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).Draw(t, "float"))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 2).Draw(t, "len"), 2))
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(0, 2).Draw(t, "len") {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(t, value)
			v.SetMapIndex(reflect.ValueOf(text.Draw(t, "key")), value)
		}
	case reflect.Interface:
		v.Set(reflect.ValueOf(rapid.OneOf(
			rapid.Just[any](true), rapid.Just[any]([]any{"x", nil, 0.5}), rapid.Just[any](map[string]any{"]": "}"}),
			rapid.Map(text, func(s string) any { return s }),
			rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		).Draw(t, "value")))
	}
}
