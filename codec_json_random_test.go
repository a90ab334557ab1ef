package eventbus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	rand "math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// The types whose random values are encoded both ways, besides those of
// codec_json_test.go.
type (
	jsonEmpty struct {
		A int            `json:"a,omitempty"`
		B string         `json:",omitempty"`
		C *int           `json:"c,omitempty"`
		D []int          `json:"d,omitempty"`
		E map[string]int `json:"e,omitempty"`
		F jsonPlace      `json:"f,omitempty"`
		G time.Time      `json:"g,omitempty"`
		H time.Time      `json:"h,omitzero"`
		I jsonPlace      `json:"i,omitzero"`
		J jsonZero       `json:"j,omitzero"`
		K *jsonZero      `json:"k,omitzero"`
		L [0]int         `json:"l,omitempty"`
		M [2]int         `json:"m,omitempty"`
		N bool           `json:"n,omitempty,omitzero"`
		O float64        `json:"o,omitempty"`
		P []int          `json:"p,omitzero"`
		Q any            `json:"q,omitempty"`
	}
	jsonZero struct{ X int }

	jsonEmbeds struct {
		JSONOuter
		*JSONMixin
		jsonBase
		Named JSONOuter `json:"named"`
		S     string
	}
	jsonEmbedsTagged struct {
		JSONOuter  `json:"outer"`
		*JSONMixin `json:",omitempty"`
		Base       int
	}
	JSONOuter struct {
		Base string
		B    int `json:"b"`
	}

	jsonMarshals struct {
		A jsonByPointer
		B *jsonByPointer
		C jsonByValue
		D *jsonByValue
		E []jsonByPointer
		F map[string]jsonByPointer
		G map[string]jsonByValue
		H jsonByText
		I *jsonByText
		J []jsonByText
		K [2]jsonByPointer
		L struct {
			A jsonByPointer
			B *jsonByValue `json:",omitempty"`
		}
		R json.RawMessage
		N []json.Number
		Q json.Number `json:",omitempty"`
	}
	jsonByPointer struct{ X int8 }
	jsonByValue   struct{ X int8 }
	jsonByText    string

	jsonMaps struct {
		A map[string]any
		B map[int8]string
		C map[uint]bool
		D map[string]map[string][]string
		E map[string]*jsonPlace
		F map[string]string
		G map[string]json.RawMessage
		H map[string]time.Time
		I map[string][0]int
		J map[string]float32
	}

	// Types of one word are stored directly in an interface.
	jsonOnePointer struct{ P *int }
	jsonOneMap     struct{ M map[string]int }
	jsonOneArray   struct{ A [1]*string }
	jsonAnys       struct {
		A any
		B []any
		C fmt.Stringer
		D error
		E *any
	}
)

func (z jsonZero) IsZero() bool { return z.X <= 0 }

func (p *jsonByPointer) MarshalJSON() ([]byte, error) {
	if p == nil {
		return []byte("null"), nil
	}
	return []byte(`{ "by" : "<pointer>" }`), nil
}

func (v jsonByValue) MarshalJSON() ([]byte, error) {
	switch v.X {
	case 127:
		return []byte("{bad"), nil
	case -128:
		return nil, errors.New("refused")
	}
	return []byte("{ \"by\" : \"<\u2028>\" }"), nil
}

func (t jsonByText) MarshalText() ([]byte, error) { return []byte("<" + t), nil }

var jsonRandomTypes = []reflect.Type{
	reflect.TypeFor[jsonEvent](), reflect.TypeFor[jsonKinds](), reflect.TypeFor[jsonQuoted](), reflect.TypeFor[jsonTagged](), reflect.TypeFor[jsonNumbers](),
	reflect.TypeFor[jsonNames](), reflect.TypeFor[jsonNested](), reflect.TypeFor[jsonEmpty](), reflect.TypeFor[jsonEmbeds](), reflect.TypeFor[jsonEmbedsTagged](),
	reflect.TypeFor[jsonMarshals](), reflect.TypeFor[jsonMaps](), reflect.TypeFor[jsonOnePointer](), reflect.TypeFor[jsonOneMap](), reflect.TypeFor[jsonOneArray](),
	reflect.TypeFor[jsonAnys](), reflect.TypeFor[jsonToCome](), reflect.TypeFor[jsonInContext](), reflect.TypeFor[any](), reflect.TypeFor[map[string]any](),
	reflect.TypeFor[string](), reflect.TypeFor[float64](), reflect.TypeFor[float32](), reflect.TypeFor[time.Time](), reflect.TypeFor[*time.Time](),
	reflect.TypeFor[json.RawMessage](), reflect.TypeFor[jsonByValue](), reflect.TypeFor[jsonByPointer](), reflect.TypeFor[[]byte](), reflect.TypeFor[struct{}](),
}

// jsonRandom fills values with data that encoders treat differently.
type jsonRandom struct{ *rand.Rand }

func pick[T any](r jsonRandom, of ...T) T { return of[r.IntN(len(of))] }

func (r jsonRandom) text() string {
	return pick(r, "", "a", "plain text of some length", "<script>&amp;</script>", "\u2028\u2029", "\x00\x01\x1f\x7f", "\b\f\n\r\t\"\\/", "\xff\xfe",
		"é世界🙂", "a\xc3", "\xed\xa0\x80", "\ufffd", "12345678<", "1234567\xff8", "abcdefghijklmnop\u2028")
}

func (r jsonRandom) number() float64 {
	f := pick(r, 0, math.Copysign(0, -1), 1, -1.5, 1e20, 1e21, -1e21, 1e-6, 1e-7, 9.999999e-7, math.MaxFloat64, math.SmallestNonzeroFloat64,
		math.MaxFloat32, math.SmallestNonzeroFloat32, 0.1, 1/3.0, float64(float32(0.1)), math.Float64frombits(r.Uint64()))
	if (math.IsNaN(f) || math.IsInf(f, 0)) && r.IntN(10) > 0 {
		return 1
	}
	return f
}

func (r jsonRandom) time() time.Time {
	zone := pick(r, time.UTC, time.UTC, time.FixedZone("", 3600), time.FixedZone("half", -5*3600-30*60), time.FixedZone("seconds", 3661), time.Local)
	switch r.IntN(40) {
	case 0:
		return time.Date(pick(r, 0, -1, 9999, 10000), 1, 1, 0, 0, 0, 0, time.UTC)
	case 1:
		zone = time.FixedZone("far", 25*3600)
	case 2:
		return time.Time{}
	case 3:
		return time.Now()
	}
	return time.Unix(r.Int64N(4e9)-1e9, pick[int64](r, 0, 1, 1e6, 123456789, 999999999)).In(zone)
}

func (r jsonRandom) any() any {
	return pick[any](r, nil, 1, "<", 1.5, []any{1, "a", nil}, map[string]any{"b": 1, "a": []int{1}, "<": nil}, time.Now().UTC(), []byte("x"), &jsonPlace{"s", "c"},
		map[int]string{3: "c", -1: "a", 20: "b"}, netip.IPv6Unspecified(), json.Number("7"), uint64(math.MaxUint64), float32(0.1), (*int)(nil), []string(nil),
		make(chan int), math.NaN(), time.Second, struct{}{}, [2]bool{true}, jsonToCome{1}, &jsonToCome{1}, jsonInContext{At: 1}, jsonQuoted{Q: 1}, (*jsonByPointer)(nil), jsonByPointer{})
}

// fill fills all that v leads to.
func (r jsonRandom) fill(v reflect.Value, depth int) {
	if depth > 5 {
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = r.time()
		return
	case *json.RawMessage:
		*p = json.RawMessage(pick(r, "null", "1", " [ 1 , 2 ] ", `{"a":"<&>`+"\u2028"+`"}`, "{", "[1,\n2]", "\"\xff\"", ""))
		return
	case *json.Number:
		*p = pick[json.Number](r, "", "1", "1.5e3", "x", "01")
		return
	case *netip.Addr:
		*p = netip.AddrFrom4([4]byte{10, byte(r.IntN(256))})
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(pick(r, 0, 1, -1, 127, -128, 32767, math.MaxInt64, math.MinInt64, r.Int64()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(pick(r, 0, 1, 255, math.MaxUint64, r.Uint64()))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(r.number())
	case reflect.String:
		v.SetString(r.text() + r.text())
	case reflect.Interface:
		if x := reflect.ValueOf(r.any()); v.NumMethod() == 0 && x.IsValid() {
			v.Set(x)
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			r.fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n-1, n))
		}
		for i := range v.Len() {
			r.fill(v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			r.fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		r.fillMap(v, depth)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				r.fill(v.Field(i), depth+1)
			}
		}
	}
}

func (r jsonRandom) fillMap(v reflect.Value, depth int) {
	n := r.IntN(5)
	if n == 0 {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for range n - 1 {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		r.fill(key, depth+1)
		r.fill(value, depth+1)
		v.SetMapIndex(key, value)
	}
}

// encodeBoth encodes a random value of each type as encoding/json does and as the
// codec does.
func encodeBoth(t *testing.T, seed uint64) {
	t.Helper()
	random := jsonRandom{rand.New(rand.NewPCG(seed, 1))}
	for _, kind := range jsonRandomTypes {
		v := reflect.New(kind)
		random.fill(v.Elem(), 0)
		want, wantErr := json.Marshal(v.Interface())
		got, gotErr := JSON().Encode(t.Context(), []byte("key"), nil, v.Interface())
		if wantErr != nil {
			if gotErr == nil || string(got) != "key" {
				t.Fatalf("seed %d, %s: encoding/json says %v, the codec %q, %v", seed, kind, wantErr, got, gotErr)
			}
			continue
		}
		if gotErr != nil || !bytes.Equal(got[len("key"):], want) {
			t.Fatalf("seed %d, %s:\nencoding/json %s\nthe codec     %s, %v", seed, kind, want, got, gotErr)
		}
	}
}

func TestJSONIsWrittenAsEncodingJSONWritesIt(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		encodeBoth(t, seed)
	}
}

// FuzzJSONEncode looks for values that the codec and encoding/json write
// differently.
func FuzzJSONEncode(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(encodeBoth)
}

// A circular value is an error, as in encoding/json, not a stack overflow.
func TestJSONEncodesNoCycle(t *testing.T) {
	t.Parallel()
	type ring struct{ Next *ring }
	r := new(ring)
	r.Next = r
	if data, err := JSON().Encode(t.Context(), nil, nil, r); err == nil {
		t.Errorf("a cycle is encoded as %d bytes", len(data))
	}
}
