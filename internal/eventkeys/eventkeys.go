// Package eventkeys knows every key of an event's JSON form, for those who must tell a misspelt one.
package eventkeys

import (
	"encoding/json"
	"reflect"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
)

// Any marks mappings in which every key is allowed.
const Any = "any_key"

// Tree is the JSON form of an event that has everything, and Any where all keys are allowed. It is read-only.
func Tree() any { return tree() }

// tree is an event's JSON form with every key in it. The reader of events leaves out
// what it does not know, for the sake of newer senders; in a test a key that nothing reads is a mistake.
var tree = sync.OnceValue(func() any {
	var e sidetrack.Event
	fill(reflect.ValueOf(&e).Elem())
	e.Consent = sidetrack.GrantAll("payload")
	data, err := e.AppendJSON(nil)
	var keys any
	if err != nil || json.Unmarshal(data, &keys) != nil {
		return nil
	}
	return keys
})

// fill sets everything that v holds to something that is not its zero value.
func fill(v reflect.Value) {
	if !v.CanSet() {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1, 0).UTC()))
		return
	case uuid.UUID:
		v.Set(reflect.ValueOf(uuid.Max))
		return
	case time.Duration:
		v.SetInt(int64(time.Second))
		return
	case sidetrack.Money:
		v.SetInt(int64(sidetrack.MoneyOf(1)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.SetMapIndex(reflect.ValueOf(Any), value)
	case reflect.Interface:
		v.Set(reflect.ValueOf("x"))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}
