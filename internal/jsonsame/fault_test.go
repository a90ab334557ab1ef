package jsonsame

import (
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// secret stands for data that events contain and logs must not.
const secret = "4111-1111"

type (
	card     struct{ number string }
	textCard struct{ number string }
	order    struct {
		ID      string      `json:"id"`
		Amount  json.Number `json:"amount"`
		Quoted  int         `json:"quoted,string"`
		Card    card        `json:"card"`
		Text    textCard    `json:"text"`
		Host    netip.Addr  `json:"host"`
		At      time.Time   `json:"at"`
		Count   int8        `json:"count"`
		Payment struct {
			*Inner
			Card *card `json:"card"`
		} `json:"payment"`
		By map[textCard]int `json:"by"`
	}
	Inner struct{ Deep card }
)

var errCard = errors.New("a card without a number")

func (c *card) UnmarshalJSON(data []byte) error {
	return errors.Join(errCard, errors.New("no card: "+string(data)))
}

func (c card) MarshalJSON() ([]byte, error) {
	return nil, errors.Join(errCard, errors.New("no card: "+c.number))
}

func (c *textCard) UnmarshalText(data []byte) error {
	_, err := strconv.Atoi(string(data))
	return err
}

func (c textCard) MarshalText() ([]byte, error) { return nil, errors.New("no card: " + c.number) }

// Whatever refuses data, the error names the field and shows nothing of the data.
func TestRefusedDataIsNotShown(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"amount":"` + secret + `"}`:                    `field "amount": the value can't be decoded into json.Number`,
		`{"quoted":"` + secret + `"}`:                    `field "quoted"`,
		`{"CARD":"` + secret + `"}`:                      `field "card": the value can't be decoded into jsonsame.card (*errors.joinError)`,
		`{"text":"` + secret + `"}`:                      `field "text": the value can't be decoded into jsonsame.textCard (*strconv.NumError)`,
		`{"host":"` + secret + `"}`:                      `field "host": the value can't be decoded into netip.Addr`,
		`{"at":"` + secret + `"}`:                        `field "at": the time is not in RFC 3339`,
		`{"count":41111111}`:                             `field "count": a JSON number can't be decoded into int8`,
		`{"id":41111111}`:                                `field "id": a JSON number can't be decoded into string`,
		`{"payment":{"card":"` + secret + `"}}`:          `field "payment.card": the value can't be decoded into *jsonsame.card`,
		`{"payment":{"Deep":"` + secret + `"}}`:          `field "payment.Deep": the value can't be decoded into jsonsame.card`,
		`{"by":{"` + secret + `":1}}`:                    `field "by"`,
		`{"id":"a" ` + secret + `}`:                      "not valid JSON at byte 11",
		secret:                                           "not valid JSON at byte 5",
		`"` + secret + `"`:                               `a JSON string can't be decoded into jsonsame.order`,
		`{"id":"\ux` + secret + `"}`:                     "not valid JSON at byte",
		`{"id":"` + secret:                               "the JSON is cut off",
		`[` + secret[:4] + `]`:                           `a JSON array can't be decoded into jsonsame.order`,
		`{"payment":{"card":1,"card":"` + secret + `"}}`: `field "payment.card"`,
	} {
		var v order
		err := json.Unmarshal([]byte(data), &v)
		if err == nil {
			t.Fatalf("%s was taken", data)
		}
		fault := DecodeFault(reflect.TypeOf(&v), []byte(data), err)
		if text := fault.Error(); !strings.Contains(text, want) || strings.Contains(text, "4111") {
			t.Errorf("%s: %q, want %q and nothing of the data", data, text, want)
		}
		if !errors.Is(fault, err) {
			t.Errorf("%s: the cause is gone", data)
		}
	}
}

// Errors of a value's own methods are not shown either.
func TestRefusedValuesAreNotShown(t *testing.T) {
	t.Parallel()
	type withNumber struct{ N []json.Number }
	for want, v := range map[string]any{
		"field Card: the method of jsonsame.card that encodes it failed (*errors.joinError)": &struct{ Card card }{card{secret}},
		"field Cards[0]: the method of jsonsame.card that encodes it failed":                 &struct{ Cards []card }{[]card{{secret}}},
		"field By: a value has no form in JSON":                                              &struct{ By map[textCard]int }{map[textCard]int{{secret}: 1}},
		"field N[0]: a value has no form in JSON":                                            &withNumber{[]json.Number{secret}},
		"field F: json: unsupported value: NaN":                                              &struct{ F float64 }{math.NaN()},
		"field M[…].C: json: unsupported type: chan int": &struct {
			M map[string]struct{ C chan int }
		}{map[string]struct{ C chan int }{secret: {make(chan int)}}},
		"field M: json: unsupported type: map[bool]int": &struct{ M map[bool]int }{map[bool]int{true: 1}},
	} {
		_, err := json.Marshal(v)
		if err == nil {
			t.Fatalf("%s was taken", want)
		}
		fault := EncodeFault(v, err)
		if text := fault.Error(); !strings.HasPrefix(text, want) || strings.Contains(text, "4111") {
			t.Errorf("%q, want %q and nothing of the value", text, want)
		}
		if !errors.Is(fault, err) {
			t.Errorf("%s: the cause is gone", want)
		}
	}
}

type (
	cyclicMap   map[string]cyclicMap
	cyclicSlice []cyclicSlice
	node        struct{ Left, Right any }
)

// The search ends even if a value contains itself, or one part many times.
func TestSearchEnds(t *testing.T) {
	t.Parallel()
	anyMap := map[string]any{}
	anyMap["a"] = anyMap
	typed := cyclicMap{}
	typed["a"] = typed
	slice := make(cyclicSlice, 2)
	slice[0], slice[1] = slice, slice
	anys := make([]any, 2)
	anys[0], anys[1] = anys, map[string]any{"a": anys}
	self := &node{}
	self.Left, self.Right = self, &self
	shared := &node{} // 2^60 paths lead to its end
	for range 60 {
		shared = &node{Left: shared, Right: shared}
	}
	for name, v := range map[string]any{
		"a map": anyMap, "a map of its type": typed, "a slice": slice, "a slice of anything": anys, "a pointer": self,
		"a pointer to a slice": &anys, "shared parts": shared,
	} {
		err := errors.New("refused")
		if fault := EncodeFault(v, err); !errors.Is(fault, err) {
			t.Errorf("%s: %v", name, fault)
		}
	}
}

// pointsToItself is a type that ends nowhere.
type pointsToItself *pointsToItself

// TestSearchOfEndlessTypes: the search ends even if a type of pointers doesn't.
func TestSearchOfEndlessTypes(t *testing.T) {
	t.Parallel()
	var v struct {
		Loop pointsToItself
		Card card
	}
	data := []byte(`{"Loop":null,"Card":1}`)
	err := json.Unmarshal(data, &v)
	if fault := DecodeFault(reflect.TypeOf(&v), data, err); !strings.Contains(fault.Error(), `field "Card"`) {
		t.Error(fault)
	}
	if _, at := refused(reflect.TypeFor[pointsToItself](), data, 0); at == nil {
		t.Error("it has no type")
	}
}
