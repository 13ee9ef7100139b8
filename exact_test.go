package sidetrack_test

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack"
)

// odd fills every field that can be set with something that may or may not survive the
// way through JSON. It works by reflection, so that a new field is in it by itself.
func odd(t *rapid.T, v reflect.Value) {
	if rapid.IntRange(0, 7).Draw(t, "filled") != 0 {
		return
	}
	text := rapid.SampledFrom([]string{"a", "ä", "\xff", "1", "", "\u2028"})
	switch v.Interface().(type) {
	case time.Time:
		at := time.Unix(1.7e9, rapid.SampledFrom([]int64{0, 1, 1e6}).Draw(t, "ns"))
		v.Set(reflect.ValueOf(rapid.SampledFrom([]time.Time{at, at.UTC(), time.Now(), time.Now().UTC(), {}}).Draw(t, "time")))
		return
	case time.Duration:
		v.SetInt(rapid.SampledFrom([]int64{1, int64(time.Millisecond), int64(time.Hour)}).Draw(t, "duration"))
		return
	case sidetrack.Consent:
		c := sidetrack.Grant(text.Draw(t, "how"), sidetrack.AdStorage)
		v.Set(reflect.ValueOf(c))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				odd(t, v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		odd(t, v.Elem())
	case reflect.String:
		v.SetString(text.Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.SampledFrom([]int64{1, -1, 200}).Draw(t, "int"))
	case reflect.Float64:
		v.SetFloat(rapid.SampledFrom([]float64{1, 0.5, 1e300}).Draw(t, "float"))
	case reflect.Array:
		v.Index(0).SetUint(7)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 2).Draw(t, "len"), 2))
		for i := range v.Len() {
			odd(t, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(0, 2).Draw(t, "len") {
			elem := reflect.New(v.Type().Elem()).Elem()
			odd(t, elem)
			v.SetMapIndex(reflect.ValueOf(text.Draw(t, "key")), elem)
		}
	case reflect.Interface:
		v.Set(reflect.ValueOf(rapid.SampledFrom([]any{"a", "\xff", int64(1), 1, 1.0, 0.5, float32(0.5), true, sidetrack.Money(5),
			[]any{}, []any(nil), []any{int64(1), 2.5}, map[string]any{}, map[string]any(nil), map[string]any{"k": 1.0}}).Draw(t, "any")))
	default:
		t.Fatalf("no odd value of a %s", v.Type())
	}
}

// TestAppendExact: what Validate accepts can be read back, exact means that reading back gives
// the same, and plain events are exact.
func TestAppendExact(t *testing.T) {
	tried, exactOnes := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		for range 100 {
			tried++
			e := &sidetrack.Event{}
			for v, i := reflect.ValueOf(e).Elem(), 0; i < v.NumField(); i++ {
				if v.Field(i).CanSet() {
					odd(rt, v.Field(i))
				}
			}
			e.Name, e.Time = "a", time.Now().UTC().Round(0)
			if e.Received = e.Time; rapid.IntRange(0, 7).Draw(rt, "received") == 0 {
				e.Received = time.Now()
			}
			b, exact, err := e.AppendExact(nil)
			if err != nil || e.Validate(time.Now()) != nil {
				continue
			}
			back, err := sidetrack.ParseEvent(string(b))
			if err != nil {
				rt.Fatalf("accepted but not readable: %v in %s", err, b)
			}
			if !exact {
				continue
			}
			exactOnes++
			if !reflect.DeepEqual(e, back) {
				rt.Fatalf("%s is not read back as it was: %s", b, eventsEqual(e, back))
			}
		}
	})
	if exactOnes < tried/10 {
		t.Fatalf("only %d of %d events were exact", exactOnes, tried)
	}
	rapid.Check(t, func(rt *rapid.T) {
		e := genEvent(rt)
		if b, exact, err := e.AppendExact(nil); err != nil || !exact {
			rt.Fatalf("a plain event is not exact: %s %v", b, err)
		}
	})
}
