package personal_test

import (
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/personal"
)

// Types that contain themselves, by every way to do so.
type (
	tree struct {
		Name  string            `json:"name" data:"personal"`
		Left  *tree             `json:"left,omitempty"`
		Kids  []tree            `json:"kids,omitempty"`
		By    map[string]*tree  `json:"by,omitempty"`
		Other *forest           `json:"other,omitempty"`
		Notes []map[string]note `json:"notes,omitempty" data:"personal"`
	}
	forest struct {
		Trees []*tree `json:"trees"`
		Key   string  `json:"key"`
	}
	note string
	// Embeds is exported, so that reflection can replace the embedded pointer.
	Embeds struct {
		*Embeds
		Mail string `json:"mail" data:"personal"`
	}
	selfMap     map[string]selfMap
	selfSlice   []selfSlice
	selfPointer *selfPointer
	aimless     struct {
		Mail    string      `json:"mail" data:"personal"`
		Map     selfMap     `json:"map"`
		Slice   selfSlice   `json:"slice"`
		Pointer selfPointer `json:"pointer"`
		Maps    selfMap     `json:"maps" data:"personal"`
	}

	selfHidden struct {
		*selfHidden
		Mail string `json:"mail" data:"personal"`
	}
	ring1 struct {
		*ring2
		Size int `json:"size"`
	}
	ring2 struct {
		*ring1
		*ring3
	}
	ring3 struct {
		*ring2
		*ring1
		Mail string `json:"mail" data:"personal"`
	}
	harmless1 struct {
		*harmless2
		Size int `json:"size"`
	}
	harmless2 struct {
		*harmless1
		Weight int `json:"weight"`
	}
	aged struct {
		Age int `json:"age" data:"personal"`
	}
	shown struct{ Name string }
)

// TestRecursiveTypes: of a type that contains itself what is personal is encrypted wherever
// it is, or the type is refused.
func TestRecursiveTypes(t *testing.T) {
	codec := personal.New(eventbus.JSON(), new(personal.Ring), personal.Config{})
	encode := func(v any) (string, error) {
		out, err := codec.Encode(t.Context(), nil, &eventbus.Envelope{ID: "1", Type: "T", Key: []byte("k")}, v)
		return string(out), err
	}
	leaf := func(name string) *tree { return &tree{Name: name} }
	for name, v := range map[string]any{
		"a tree": &tree{
			Name: "secret", Left: leaf("secret"), Kids: []tree{{Name: "secret", Kids: []tree{{Name: "secret"}}}}, By: map[string]*tree{"a": leaf("secret"), "b": nil},
			Other: &forest{Trees: []*tree{leaf("secret"), nil}, Key: "k"}, Notes: []map[string]note{{"a": "secret"}},
		},
		"a struct that embeds itself": &Embeds{&Embeds{nil, "secret"}, "secret"},
		"types without an end":        &aimless{Mail: "secret", Map: selfMap{"a": {"b": nil}}, Slice: selfSlice{{}, nil}, Maps: selfMap{"a": nil}},
	} {
		if out, err := encode(v); err != nil || strings.Contains(out, "secret") {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	for name, v := range map[string]any{
		"an unexported struct that embeds itself": &selfHidden{&selfHidden{}, "secret"},
		"structs that embed each other":           &ring1{Size: 1},
		"an embedded number": &struct {
			*aged
			Size int
		}{&aged{42}, 1},
		"an embedded struct that is personal as a whole": &struct {
			*shown `data:"personal"`
			Size   int
		}{&shown{"secret"}, 1},
	} {
		if out, err := encode(v); err == nil || !strings.Contains(err.Error(), "embed the type itself") {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	if out, err := encode(&harmless1{&harmless2{nil, 2}, 1}); err != nil || !strings.Contains(out, `"weight":2`) {
		t.Errorf("without personal data: %s, %v", out, err)
	}
}
