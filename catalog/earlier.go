package catalog

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"

	"github.com/eventbus-go/eventbus/internal/avroschema"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// Catalogues of version 0.1 and earlier do not say which float format a number has,
// that the keys of a map are numbers, or that Avro data names no schema. What they
// leave out does not count as a change.

// leftOut reports whether two schemas differ only in what an earlier version left out
// of old.
func leftOut(old, now json.RawMessage) bool {
	var was, is any
	if decode(old, &was) != nil || decode(now, &is) != nil {
		return false
	}
	return leaveOut(is) && reflect.DeepEqual(was, is)
}

// decode decodes JSON with the digits of its numbers: two that differ beyond the 53 bits of a
// float64 are not equal. Those that are written in two ways, such as 1.0 and 1, are.
func decode[T any](text json.RawMessage, to *T) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err := d.Decode(to)
	plainNumbers(*to)
	return err
}

// plainNumbers gives the numbers in a decoded value one form.
func plainNumbers(v any) {
	switch v := v.(type) {
	case []any:
		for i, inner := range v {
			v[i] = plainNumber(inner)
		}
	case map[string]any:
		for key, inner := range v {
			v[key] = plainNumber(inner)
		}
	}
}

// plainNumber returns a number without an exponent and without zeros at its end, and another
// value with plainNumbers in it. Numbers that would be long without an exponent, or that have
// more digits than numeric can tell apart, stay as they are.
func plainNumber(v any) any {
	n, ok := v.(json.Number)
	if !ok {
		plainNumbers(v)
		return v
	}
	const digits, bits = 100, 1000
	f, ok := numeric(n)
	if exponent := f.MantExp(nil); !ok || f.IsInf() || len(n) > digits || exponent < -bits || exponent > bits {
		return n
	}
	if f.Sign() == 0 {
		return json.Number("0") // also for -0
	}
	return json.Number(f.Text('f', -1))
}

// leaveOut removes from a decoded schema what earlier versions left out, and reports
// whether it removed anything.
func leaveOut(v any) (found bool) {
	switch v := v.(type) {
	case []any:
		for _, inner := range v {
			found = leaveOut(inner) || found
		}
	case map[string]any:
		keys, _ := v["propertyNames"].(map[string]any)
		for keyword, there := range map[string]bool{
			"format": isFloat(v), "propertyNames": keys["pattern"] == jsonschema.IntegerKeys, avroschema.Unnamed: v[avroschema.Unnamed] == true,
		} {
			if there {
				delete(v, keyword)
				found = true
			}
		}
		for _, inner := range v {
			found = leaveOut(inner) || found
		}
	}
	return found
}

// isFloat reports whether a schema is that of a number with a float format.
func isFloat(s map[string]any) bool {
	types, _ := s["type"].([]any)
	return (s["type"] == "number" || slices.Contains(types, any("number"))) && (s["format"] == "float32" || s["format"] == "float64")
}
