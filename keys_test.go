package eventbus

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/declare"
)

type (
	valueKeyed   struct{ ID string }
	pointerKeyed struct{ ID string }
	wrongMethod  struct{ ID string }
	uuidLike     [16]byte
	carrier      string
	grade        int
	region       struct{ country, city string }
	failingText  struct{ ID string }
)

func (k valueKeyed) PartitionKey() string { return "v:" + k.ID }

func (k *pointerKeyed) PartitionKey() string { return "p:" + k.ID }

func (wrongMethod) PartitionKey() (string, error) { return "", nil }

func (g grade) String() string { return "gold" }

func (r region) String() string { return r.country + "/" + r.city }

func (failingText) MarshalText() (text []byte, err error) { return nil, errors.New("no text") }

type base struct {
	Tenant string `eventbus:"key=1"`
}

type line struct {
	Number int `eventbus:"key=2"`
	Next   *line
}

type nested struct {
	base
	Line *line
}

type deep struct {
	Order struct {
		Customer *struct {
			ID *string `eventbus:"key"`
		}
	}
}

type keyOf[K any] struct {
	Before int
	ID     K `eventbus:"key"`
}

type composite struct {
	B string `eventbus:"key=2"`
	A string `eventbus:"key=1"`
}

// key returns a function that returns the key of v, in brackets, by a topic of T,
// or "none".
func key[T any](v T) func() string {
	return func() string {
		topic := NewTopic(TopicConfig[T]{Domain: "a", Name: "b", Type: "T"})
		k, ok := topic.KeyOf(v)
		if !ok {
			return "none"
		}
		return "[" + k + "]"
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	text := "c7"
	uuid := uuidLike{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0}
	filled := deep{}
	filled.Order.Customer = &struct {
		ID *string `eventbus:"key"`
	}{&text}
	for name, c := range map[string]struct {
		got  func() string
		want string
	}{
		"none":                      {key(customerCreated{}), "none"},
		"no struct":                 {key(7), "none"},
		"method":                    {key(valueKeyed{"1"}), "[v:1]"},
		"method of a pointer":       {key(pointerKeyed{"1"}), "[p:1]"},
		"pointer, value's method":   {key(&valueKeyed{"1"}), "[v:1]"},
		"pointer, pointer's method": {key(&pointerKeyed{"1"}), "[p:1]"},
		"nil pointer":               {key((*pointerKeyed)(nil)), "none"},
		"tag":                       {key(paymentProcessed{OrderID: "o1"}), "[o1]"},
		"tag behind a pointer":      {key(&paymentProcessed{OrderID: "o1"}), "[o1]"},
		"nil event":                 {key((*paymentProcessed)(nil)), "none"},
		"empty key":                 {key(paymentProcessed{}), "[]"},
		"string is not escaped":     {key(paymentProcessed{OrderID: `a|b\c`}), `[a|b\c]`},
		"named string":              {key(keyOf[carrier]{ID: "UA"}), "[UA]"},
		"int":                       {key(keyOf[int]{ID: -7}), "[-7]"},
		"uint64":                    {key(keyOf[uint64]{ID: 1<<64 - 1}), "[18446744073709551615]"},
		"bool":                      {key(keyOf[bool]{ID: true}), "[true]"},
		"enum, not its String":      {key(keyOf[grade]{ID: 3}), "[3]"},
		"Stringer":                  {key(keyOf[region]{ID: region{"DE", "Ulm"}}), "[DE/Ulm]"},
		"TextMarshaler":             {key(keyOf[netip.Addr]{ID: netip.MustParseAddr("127.0.0.1")}), "[127.0.0.1]"},
		"failing TextMarshaler":     {key(keyOf[failingText]{}), "none"},
		"UUID":                      {key(keyOf[uuidLike]{ID: uuid}), "[123e4567-e89b-12d3-a456-426614174000]"},
		"time":                      {key(keyOf[time.Time]{ID: time.Date(2024, 1, 15, 12, 30, 0, 0, time.FixedZone("", 7200))}), "[2024-01-15T10:30:00Z]"},
		"pointer":                   {key(keyOf[*string]{ID: &text}), "[c7]"},
		"nil field":                 {key(keyOf[*string]{}), "none"},
		"embedded and nested":       {key(nested{base{"eu"}, &line{Number: 3}}), "[eu|3]"},
		"nested and nil":            {key(nested{base: base{"eu"}}), "none"},
		"deep":                      {key(filled), "[c7]"},
		"deep and nil":              {key(deep{}), "none"},
		"composite":                 {key(composite{A: "a", B: "b"}), "[a|b]"},
		"composite, separator":      {key(composite{A: "a|b", B: "c"}), `[a\|b|c]`},
		"composite, escape":         {key(composite{A: `a\`, B: "|b"}), `[a\\|\|b]`},
		"composite, empty":          {key(composite{}), "[|]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.got(); got != c.want {
				t.Errorf("key %s, want %s", got, c.want)
			}
		})
	}
}

func TestKeyFunctionComesFirst(t *testing.T) {
	t.Parallel()
	topic := NewTopic(TopicConfig[valueKeyed]{Domain: "a", Name: "b", Key: func(e valueKeyed) string { return "f:" + e.ID }})
	if k, ok := topic.KeyOf(valueKeyed{"1"}); k != "f:1" || !ok {
		t.Errorf("key %q, %v", k, ok)
	}
	for want, got := range map[string]*declare.Topic{
		"function":            topic.Declaration(),
		"method PartitionKey": NewTopic(TopicConfig[valueKeyed]{Domain: "a", Name: "b"}).Declaration(),
		"field OrderID":       NewTopic(TopicConfig[paymentProcessed]{Domain: "a", Name: "b"}).Declaration(),
		"fields A|B":          NewTopic(TopicConfig[composite]{Domain: "a", Name: "b"}).Declaration(),
		"none":                NewTopic(TopicConfig[customerCreated]{Domain: "a", Name: "b"}).Declaration(),
	} {
		if got.KeySource != want || got.Keyed != (want != "none") {
			t.Errorf("key source %q, keyed %v, want %q", got.KeySource, got.Keyed, want)
		}
	}
}

// Different pairs never make the same composite key.
func FuzzCompositeKey(f *testing.F) {
	f.Add("a|b", "c", "a", "b|c")
	f.Add(`a\`, "|c", `a\|`, "c")
	topic := NewTopic(TopicConfig[composite]{Domain: "a", Name: "b"})
	f.Fuzz(func(t *testing.T, a1, b1, a2, b2 string) {
		k1, _ := topic.KeyOf(composite{A: a1, B: b1})
		k2, _ := topic.KeyOf(composite{A: a2, B: b2})
		if (k1 == k2) != (a1 == a2 && b1 == b2) {
			t.Errorf("%q,%q → %q and %q,%q → %q", a1, b1, k1, a2, b2, k2)
		}
	})
}

func TestKeysThatCannotWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		declare func() string
		want    string
	}{
		"another signature": {newTopic(TopicConfig[wrongMethod]{}), "PartitionKey of eventbus.wrongMethod is func() (string, error): write PartitionKey() string"},
		"float":             {newTopic(TopicConfig[keyOf[float64]]{}), "field ID is tagged as key and can't be one, being a float64"},
		"slice":             {newTopic(TopicConfig[keyOf[[]byte]]{}), "being a []uint8"},
		"any":               {newTopic(TopicConfig[keyOf[any]]{}), "can't be one"},
		"Stringer":          {newTopic(TopicConfig[keyOf[fmt.Stringer]]{}), "can't be one"},
		"pointer twice":     {newTopic(TopicConfig[keyOf[**string]]{}), "being a **string"},
		"struct":            {newTopic(TopicConfig[keyOf[composite]]{}), "is a struct: tag the fields in it"},
		"misspelt": {newTopic(TopicConfig[struct {
			ID string `eventbus:"kye"`
		}]{}), `field ID has the tag eventbus:"kye"`},
		"number": {newTopic(TopicConfig[struct {
			ID string `eventbus:"key=0"`
		}]{}), `eventbus:"key=0"`},
		"unexported": {newTopic(TopicConfig[struct {
			id string `eventbus:"key"`
		}]{}), "field id is tagged as key and not exported"},
		"several unnumbered": {newTopic(TopicConfig[struct {
			A, B string `eventbus:"key"`
		}]{}), "number them all"},
		"one unnumbered": {newTopic(TopicConfig[struct {
			A string `eventbus:"key"`
			B string `eventbus:"key=1"`
		}]{}), "field A is one of several"},
		"same number": {newTopic(TopicConfig[struct {
			A, B string `eventbus:"key=1"`
		}]{}), "fields A and B are both key=1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.declare(); !strings.Contains(got, c.want) {
				t.Errorf("panic %q, want %q", got, c.want)
			}
		})
	}
}

type (
	twice[T any]     struct{ A, B *T }
	twice8[T any]    = twice[twice[twice[twice[twice[twice[twice[twice[T]]]]]]]]
	manyPaths[T any] struct {
		ID string `eventbus:"key"`
		In twice8[twice8[twice8[twice8[T]]]]
	}
	rejoined struct{ manyPaths[rejoined] }
)

// TestManyPathsToAKey: a declaration takes no time for each path of pointers in its type, be it
// one that leads nowhere, back to where it began, or to a tagged field, which is refused.
func TestManyPathsToAKey(t *testing.T) {
	t.Parallel()
	if got := key(manyPaths[int]{ID: "c7"})(); got != "[c7]" {
		t.Errorf("paths that lead nowhere: %s", got)
	}
	if got := key(rejoined{manyPaths[rejoined]{ID: "c7"}})(); got != "[c7]" {
		t.Errorf("paths that lead back: %s", got)
	}
	fault := newTopic(TopicConfig[manyPaths[composite]]{})()
	if !strings.Contains(fault, "more than 32 fields are tagged as key") || len(fault) > 20_000 {
		t.Errorf("paths that lead to keys: %.1000s", fault)
	}
}

func BenchmarkKey(b *testing.B) {
	b.Run("field", func(b *testing.B) {
		benchKey(b, paymentProcessed{OrderID: "123e4567-e89b-12d3-a456-426614174000"})
	})
	b.Run("composite", func(b *testing.B) { benchKey(b, composite{A: "eu", B: "123e4567"}) })
	b.Run("uuid", func(b *testing.B) { benchKey(b, keyOf[uuidLike]{}) })
}

func benchKey[T any](b *testing.B, v T) {
	topic := NewTopic(TopicConfig[T]{Domain: "a", Name: "b", Type: "T"})
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = topic.key(buf[:0], &v)
	}
}
