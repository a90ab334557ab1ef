package jsonschema

import (
	"encoding/json"
	"hash/fnv"
	"reflect"
	"strconv"
	"time"
)

// Bounds of examples: types may contain themselves, and people read the example.
const (
	// deepestExample is how many values may lie inside each other; deeper ones stay
	// zero.
	deepestExample = 4
	// mostExampleKeys is the number of entries of a map.
	mostExampleKeys = 1
)

// Example fills v, which must be settable, with a value that depends only on the names
// of the fields and on n: an added field changes no other. Keys made from it stay the
// same as long as their declaration does.
func Example(v reflect.Value, n int) { fill(v, strconv.Itoa(n), "value", 0) }

// fill sets v by the path that leads to it. Types that marshal themselves stay
// zero: a made-up field may be one that they never write.
func fill(v reflect.Value, path, name string, depth int) {
	if depth > deepestExample || !v.CanSet() {
		return
	}
	// The hash of the path is the only source of variety: no clock and no random
	// number, so two runs agree.
	h := fnv.New64a()
	_, _ = h.Write([]byte(path))
	seed := h.Sum64()
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = time.Unix(1_700_000_000+int64(seed%100_000_000), 0).UTC()
		return
	case *json.RawMessage:
		*p = json.RawMessage("null")
		return
	case *json.Number:
		*p = json.Number(strconv.FormatUint(seed%1000, 10))
		return
	}
	// A pointer is followed below: the method of a nil one would not be called.
	if t := v.Type(); t.Kind() != reflect.Pointer && selfMarshaling(t, true) {
		switch k := t.Kind(); {
		case k == reflect.Array && t.Elem().Kind() == reflect.Uint8: // UUIDs and digests
			fillBytes(v, seed)
		case k == reflect.String && !has(t, true, marshaler) && !has(t, true, textMarshaler):
			// A text that says which values it has. Always the first one: more may follow.
			values, _ := described(t)["enum"].([]any)
			if len(values) > 0 {
				first, _ := values[0].(string)
				v.SetString(first)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(seed%2 == 0)
	// Below 100 a number fits every width.
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(seed % 100))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(seed % 100)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(seed%1000) / 10)
	case reflect.String:
		v.SetString(name + "-" + strconv.FormatUint(seed%1000, 10))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), path, name, depth+1)
	case reflect.Slice:
		// Bytes stay nil: their meaning is never known.
		if depth < deepestExample && v.Type().Elem().Kind() != reflect.Uint8 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), path+"[0]", name, depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), path+"["+strconv.Itoa(i)+"]", name, depth+1)
		}
	case reflect.Map:
		fillMap(v, path, name, depth)
	case reflect.Struct:
		fillStruct(v, path, name, depth)
	}
}

// fillStruct sets the fields of v, which need not be one that can be set itself: those
// of an embedded struct can, whatever its name.
func fillStruct(v reflect.Value, path, name string, depth int) {
	for _, f := range visible(v.Type(), true) {
		if f.depth > 0 {
			continue // its index is that within what is embedded, which follows
		}
		if to := v.FieldByIndex(f.Index); to.CanSet() {
			fill(to, path+"."+f.name, f.name, depth+1)
		}
	}
	// Embedded structs by value only: a nil pointer to one leaves its fields out.
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case !f.Anonymous || f.Type.Kind() != reflect.Struct:
		case f.IsExported():
			fill(v.Field(i), path, name, depth)
		default:
			fillStruct(v.Field(i), path, name, depth)
		}
	}
}

// fillBytes fills an array of bytes from seed, for UUIDs and digests: all zero ones
// look like unset.
func fillBytes(v reflect.Value, seed uint64) {
	for i := range v.Len() {
		v.Index(i).SetUint(seed >> (8 * (i % 8)) & 0xff)
	}
}

// fillMap gives a map one entry. A key of an interface type that holds something
// not comparable would panic, so it is left out.
func fillMap(v reflect.Value, path, name string, depth int) {
	if depth >= deepestExample {
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), mostExampleKeys))
	key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
	fill(key, path+"{}", name, depth+1)
	fill(value, path+"{}.value", name, depth+1)
	if key.Comparable() {
		v.SetMapIndex(key, value)
	}
}
