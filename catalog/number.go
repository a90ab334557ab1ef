package catalog

import (
	"bytes"
	"encoding/json"
	"math/big"
)

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

// numeric returns a number of a schema, with more digits than a float64 has; zero and false
// if it is none.
func numeric(v any) (*big.Float, bool) {
	n, _ := v.(json.Number)
	f, _, err := big.ParseFloat(n.String(), 10, 512, big.ToNearestEven)
	if err != nil {
		return new(big.Float), false
	}
	return f, true
}
