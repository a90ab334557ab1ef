package eventbus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	fastjson "github.com/goccy/go-json"

	"github.com/eventbus-go/eventbus/internal/jsonsame"
)

// jsonEvent is a typical event, about 300 bytes of JSON.
type jsonEvent struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Email     string     `json:"email"`
	CreatedAt time.Time  `json:"createdAt"`
	Total     float64    `json:"total"`
	Count     int64      `json:"count"`
	Active    bool       `json:"active"`
	Address   jsonPlace  `json:"address"`
	Lines     []jsonLine `json:"lines"`
}

type jsonPlace struct {
	Street string `json:"street"`
	City   string `json:"city"`
}

type jsonLine struct {
	SKU string `json:"sku"`
	N   int    `json:"n"`
}

func aJSONEvent() jsonEvent {
	return jsonEvent{
		ID: "123e4567-e89b-12d3-a456-426614174000", Name: "John Doe", Email: "john.doe@example.com",
		CreatedAt: time.Date(2024, 1, 15, 10, 30, 0, 123000000, time.UTC), Total: 129.95, Count: 42, Active: true,
		Address: jsonPlace{"1 Main Street", "Springfield"}, Lines: []jsonLine{{"A-1", 2}, {"B-22", 1}},
	}
}

// jsonKinds has a field for each kind of mapping between JSON and Go.
type jsonKinds struct {
	jsonBase
	*JSONMixin
	Name  string `json:"name"`
	Key   string `json:"key,omitempty"`
	S     string
	B     []byte
	A     [3]int
	AB    [4]byte
	I8    int8
	U     uint64
	F3    float32
	P     *int
	PP    **string
	M     map[string]jsonPlace
	MI    map[int]string
	MT    map[netip.Addr]bool
	MP    map[carrier]*jsonPlace
	X     any
	XS    []any
	R     json.RawMessage
	D     time.Duration
	Wait  *time.Duration
	T     time.Time `json:"t,omitzero"`
	TP    *time.Time
	Times []time.Time
	When  map[string]*time.Time
	Z     struct{ A, b int }
	N     netip.Addr
	Addr  *netip.Addr
	BI    *big.Int
	IF    fmt.Stringer
	C     chan int
	Up    jsonUpper
	Ups   []jsonUpper
	L     []jsonPlace
	K     string `json:"_-name.x$"`
	H     string `json:"-"`
	O     string `json:"-,"` //nolint:staticcheck // the odd name is what is tested
	ID    int
	Id    string
	Deep  *jsonKinds
	List  []*jsonKinds
	Grid  [2][]jsonLine
	Num   struct {
		I int32   `json:"i"`
		U uint8   `json:"u"`
		F float32 `json:"f"`
	}
}

// jsonQuoted and jsonTagged have what only encoding/json may decode.
type jsonQuoted struct {
	Q  int     `json:"q,string"`
	QS string  `json:"qs,string"`
	QP *bool   `json:",string,omitempty"`
	I  int32   `json:"i,string"`
	F  float32 `json:"f,string"`
}

type jsonTagged struct {
	K string `json:"naïve"`
	T struct {
		At time.Time `json:"at,format:unix"`
	}
}

type jsonBase struct {
	Base string
	S    int
}

type JSONMixin struct{ Mixin []string }

// jsonUpper decodes itself, which shows how often and with what it is called.
type jsonUpper struct{ text string }

func (u *jsonUpper) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		return fmt.Errorf("no array: %s", data)
	}
	u.text += strings.ToUpper(string(data))
	return nil
}

// jsonNames has unusual names, jsonNested nested values.
type jsonNames struct {
	carrier     //nolint:unused // embedded types that are text are what is tested
	Q       int `json:"'q'"`
	N       int `json:"naïve"`
	S       int `json:"a b"`
	L       int `json:"<"`
}

type jsonNested struct {
	P  ***int
	M  map[jsonTextKey]int
	E  struct{ jsonBase }
	F  []jsonUpper
	G  map[string]jsonUpper
	H  [2]*jsonUpper
	J  *map[string]*int
	K  jsonNamedBytes
	L  [][]byte
	R  *any
	S  [0]int
	U  *bool
	W  float32
	Y  []float64
	Z  map[uint8]int8
	LL [3]string
}

type jsonNamedBytes []byte

type jsonTextKey string

func (k *jsonTextKey) UnmarshalText(text []byte) error {
	*k = jsonTextKey("key " + string(text))
	return nil
}

// jsonToCome has methods that encoding/json will call one day, jsonInContext
// those that it never calls.
type jsonToCome struct{ At int }

func (jsonToCome) MarshalJSONTo(e *jsontext.Encoder) error { return e.WriteToken(jsontext.Null) }

func (*jsonToCome) UnmarshalJSONFrom(d *jsontext.Decoder) error { return d.SkipValue() }

type jsonInContext struct {
	At int
	fastjson.MarshalerContext
	fastjson.UnmarshalerContext
}

type jsonSelfKey map[*jsonSelfKey]int

type jsonNumbers struct {
	N json.Number
	L []map[string]json.Number
}

// compareJSON decodes data into a T as encoding/json does and as the codec does.
// Only the codec refuses null for a T that has no value for it.
func compareJSON[T any](t *testing.T, data []byte) {
	t.Helper()
	var want, got T
	wantErr := json.Unmarshal(data, &want)
	gotErr := JSON().Decode(t.Context(), &Envelope{Data: data}, &got)
	if strings.TrimSpace(string(data)) == "null" && !jsonsame.TakesNull(reflect.TypeFor[*T]()) {
		if gotErr == nil {
			t.Fatalf("%T from %q: the handler gets an event that nobody published", want, data)
		}
		return
	}
	if (wantErr == nil) != (gotErr == nil) {
		t.Fatalf("%T from %q: encoding/json says %v, the codec %v", want, data, wantErr, gotErr)
	}
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("%T from %q:\nencoding/json %+v\nthe codec     %+v", want, data, want, got)
	}
}

func compareAllJSON(t *testing.T, data []byte) {
	t.Helper()
	compareJSON[jsonEvent](t, data)
	compareJSON[jsonKinds](t, data)
	compareJSON[jsonQuoted](t, data)
	compareJSON[jsonTagged](t, data)
	compareJSON[jsonNumbers](t, data)
	compareJSON[any](t, data)
	compareJSON[map[string]any](t, data)
	compareJSON[map[string]jsonKinds](t, data)
	compareJSON[[]jsonPlace](t, data)
	compareJSON[*jsonKinds](t, data)
	compareJSON[jsonNames](t, data)
	compareJSON[jsonNested](t, data)
	compareJSON[jsonToCome](t, data)
	compareJSON[jsonInContext](t, data)
	compareJSON[time.Time](t, data)
	compareJSON[json.RawMessage](t, data)
	compareJSON[json.Number](t, data)
	compareJSON[[]byte](t, data)
	compareJSON[float32](t, data)
	compareJSON[string](t, data)
}

// jsonCases are where decoders differ from each other in practice.
var jsonCases = []string{
	`{"id":"1","name":"N","email":"e","createdAt":"2024-01-15T10:30:00.5+02:00","total":1e2,"count":-3,"active":true,"address":{"street":"s","city":"c"},"lines":[{"sku":"a","n":1},null]}`,
	`{"ID":"1","NAME":"n","Name":"m","ſ":"long s","K":"kelvin","nAïve":"k","_-NAME.X$":"u","_name.x$":"no"}`,
	`{"name":"a","name":"b","Deep":{"name":"x"},"Deep":{"key":"y"},"Any":{"a":1},"Any":{"b":2},"Grid":[[{"sku":"a","n":1}]],"Grid":[[{"n":2}],[]],"List":[{"name":"1"},{"name":"2"}],"List":[{"key":"3"}]}`,
	`{"name":null,"Deep":null,"Times":null,"Bytes":null,"Raw":null,"Up":[null,1,"a"],"Addr":null,"Num":null,"t":null,"TP":null,"createdAt":null,"lines":null,"address":null}`,
	"{\"name\":\"\xff\xfe\",\"\xff\":1,\"key\":\"\\ud800\",\"Any\":{\"\\ud800x\":\"\\udc00\"},\"S\":\"\\u0000\"}",
	`{"t":"2024\u002d01-15T10:30:00Z"}`, `{"createdAt":"2024-01-15T10\u003A30:00Z"}`, `{"Times":["2024-01-15T10:30:00\u005a"]}`, `{"createdAt":"\u003c2024"}`,
	`{"createdAt":"2024-01-15T1:30:00Z"}`, `{"createdAt":"2024-01-15T10:30:00,5Z"}`, `{"createdAt":"2024-01-15T10:30:00+25:00"}`, `{"createdAt":"2024-01-15t10:30:00z"}`, `{"createdAt":20240115}`, `{"createdAt":""}`,
	`{"When":{"a":"2024-01-15T10:30:00Z","b":null}}`,
	`{"i":"5","f":"1.5"}`, `{"i":"+5"}`, `{"i":"05"}`, `{"i":" 5"}`, `{"i":"1e2"}`, `{"T":{"at":1}}`, `{"T":{"at":"2024-01-15T10:30:00Z"}}`, `{"Q":"1","q":"7","qs":"\"x\"","QP":"true","Num":{"i":12,"u":255,"f":3.4e38}}`, `{"q":7}`, `{"q":"x"}`, `{"q":null,"qs":null,"QP":null}`, `{"q":"null"}`, `{"qs":"x"}`, `{"Num":{"i":5}}`, `{"Num":{"i":" 5"}}`, `{"Num":{"i":"null"}}`, `{"Num":{"i":"1e2"}}`, `{"Num":{"i":"+5"}}`, `{"Num":{"i":"05"}}`, `{"Num":{"u":256}}`, `{"Num":{"f":1e39}}`, `{"Num":{"i":"3000000000"}}`, `{"Num":{"i":""}}`,
	`{"N":1.5,"L":[{"a":2},{"b":"3"}]}`, `{"N":"x"}`, `{"N":"1"}`, `{"N":null}`,
	`{"B":"AQI=","AB":[1,2,3,4,5],"A":[1],"Bytes":"AQ\r\nI="}`, `{"Bytes":"AQI"}`, `{"Bytes":[1,2]}`, `{"AB":"AQIDBA=="}`,
	`{"M":{"a":{"city":"x"},"a":{"street":"y"}},"MI":{"1":"a","-2":"b","+3":"c","04":"d"},"MT":{"127.0.0.1":true}}`, `{"MI":{"x":"a"}}`, `{"MI":{"1.0":"a"}}`,
	`{"X":{"a":[1,2.5,"x",null,true,{"b":{}}]},"XS":[],"R": {"a" : [ 1 ] } ,"D":5000000000,"Wait":"5s"}`, `{"Wait":1.5}`, `{"D":1e3}`,
	`{"Base":"b","S":1,"Mixin":["m"],"jsonBase":{"Base":"c"}}`, `{"H":"hidden","-":"dash","C":null,"IF":null}`, `{"C":1}`, `{"IF":1}`,
	`{"I8":128}`, `{"I8":1.0}`, `{"I8":-128,"U":18446744073709551615,"F3":1e-50,"P":1,"PP":"x","BI":123456789012345678901234567890}`, `{"U":-1}`, `{"P":null,"PP":null}`,
	`{"Up":{"a":1}}`, `{"Up":[[1]]}`, `{"Up":["x"]}`, `{"Ups":[[1]]}`, `{"Ups":["x",null,{"a" : "\u0041"}]}`, `{"Up":null}`, `{"Up":1,"Up":2}`, `{"MP":{"UA":{"city":"x"},"UA":{"street":"y"},"B6":null}}`, `{"N":"::1","Addr":"10.0.0.1"}`, `{"Addr":""}`, `{"Addr":"x"}`,
	` {"name" : "spaced" } `, "\ufeff{}", `{}x`, `{"a":1,}`, `{'a':1}`, `{"a":01}`, `{"a":-}`, `{"a":1e}`, `nul`, `null`, `true`, `"x"`, `1`, `-0`, `[]`, `[{"city":"c"},null]`, ``, `[`, `{"a":"` + "\n" + `"}`, `{"a":"\x"}`, `{"a":NaN}`,
	`{"id":1}`, `{"lines":{}}`, `{"active":"true"}`, `{"count":1.5}`, `{"total":"1"}`, `{"address":[]}`,
	`{"P":1,"M":{"a":1,"b":2},"E":{"Base":"x","S":2,"Mixin":["a"]},"F":["a",{"b":1}],"G":{"a":1,"b":[]},"H":[1,null],"J":{"a":1},"K":"AQ==","L":["AQ==",null],"R":null,"S":[1],"U":true,"W":1e30,"Y":[1e400],"Z":{"255":127}}`, `{"Z":{"256":1}}`, `{"LL":["a","b","c","d"]}`, `{"LL":["a"]}`,
	`{"\u0050":1,"X":1,"'q'":3,"naïve":2,"a b":1,"<":2,"\u003c":5}`, `"2024-01-15T10:30:00Z"`, `"\u0061"`, `"AQ=="`, `1.5`, `{"At":1}`,
	strings.Repeat("[", 9999) + strings.Repeat("]", 9999), strings.Repeat("[", 10000) + strings.Repeat("]", 10000), strings.Repeat("[", 10001) + strings.Repeat("]", 10001),
	`{"Deep":` + strings.Repeat(`{"Deep":`, 50) + `{}` + strings.Repeat(`}`, 51),
}

func TestJSONMeansWhatEncodingJSONMeans(t *testing.T) {
	t.Parallel()
	for _, data := range jsonCases {
		compareAllJSON(t, []byte(data))
	}
}

// FuzzJSONDecode looks for data that the codec and encoding/json read differently.
func FuzzJSONDecode(f *testing.F) {
	for _, data := range jsonCases {
		if len(data) < 1000 {
			f.Add([]byte(data))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { compareAllJSON(t, data) })
}

// Data is encoded as json.Marshal does it, behind what the buffer holds.
func TestJSONEncode(t *testing.T) {
	t.Parallel()
	for _, v := range []any{aJSONEvent(), map[string]any{"b": "<&>\u2028", "a": nil}, []int(nil), "x", json.RawMessage(" [1, 2] "), 1e21, "\xff"} {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := JSON().Encode(t.Context(), []byte("key"), nil, v)
		if err != nil || string(got) != "key"+string(want) {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
}

// Types that the fast codec treats differently stay with encoding/json.
func TestJSONAlike(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		t              reflect.Type
		encode, decode bool
	}{
		"an event":      {reflect.TypeFor[*jsonEvent](), true, true},
		"an interface":  {reflect.TypeFor[*jsonKinds](), false, true},
		"string option": {reflect.TypeFor[*struct{ Deep *[]jsonQuoted }](), true, false},
		"a number":      {reflect.TypeFor[*map[string][]json.Number](), true, true},
		"an option to come": {reflect.TypeFor[*struct {
			T time.Time `json:"t,format:unix"`
		}](), false, false},
		"text as map key":        {reflect.TypeFor[*map[netip.Addr]int](), true, true},
		"bool as map key":        {reflect.TypeFor[*map[bool]int](), false, false},
		"float as map key":       {reflect.TypeFor[*map[float64]int](), false, false},
		"array as map key":       {reflect.TypeFor[*map[[2]int]int](), false, false},
		"struct as map key":      {reflect.TypeFor[*map[struct{ A int }]int](), false, false},
		"any as map key":         {reflect.TypeFor[*map[any]int](), false, false},
		"pointer as key":         {reflect.TypeFor[*map[*int]int](), false, false},
		"itself as key":          {reflect.TypeFor[*jsonSelfKey](), false, false},
		"methods to come":        {reflect.TypeFor[*[]jsonToCome](), false, false},
		"methods with a context": {reflect.TypeFor[*map[string]jsonInContext](), false, false},
	} {
		if got := jsonsame.Of(c.t); got != (jsonsame.Alike{Encode: c.encode, Decode: c.decode}) {
			t.Errorf("%s: %+v, want %v and %v", name, got, c.encode, c.decode)
		}
	}
}

func BenchmarkJSONDecode(b *testing.B) {
	data, err := json.Marshal(aJSONEvent())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("codec", func(b *testing.B) {
		codec, e, ctx := JSON(), &Envelope{Data: data}, b.Context()
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var v jsonEvent
			if err := codec.Decode(ctx, e, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var v jsonEvent
			if err := json.Unmarshal(data, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkJSONEncode(b *testing.B) {
	v := aJSONEvent()
	b.Run("codec", func(b *testing.B) {
		codec, ctx, buf := JSON(), b.Context(), []byte(nil)
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if buf, err = codec.Encode(ctx, buf[:0], nil, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(&v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
