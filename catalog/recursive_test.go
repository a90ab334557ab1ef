package catalog_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

// Types that contain themselves, by every way to do so.
type (
	part struct {
		ID    string           `json:"id"`
		Mail  string           `json:"mail" data:"personal"`
		Whole *part            `json:"whole"`
		Parts []part           `json:"parts"`
		By    map[string]*part `json:"by"`
		Order *purchase        `json:"order"`
		Pair  [2]*part         `json:"pair"`
	}
	purchase struct {
		Items []*part   `json:"items"`
		After *purchase `json:"after"`
	}
	selfEmbedding struct {
		*selfEmbedding
		ID string `json:"id"`
	}
	oneEmbeds struct {
		*otherEmbeds
		ID string `json:"id"`
	}
	otherEmbeds struct {
		*oneEmbeds
		Size int `json:"size"`
	}
	selfMap     map[string]selfMap
	selfSlice   []selfSlice
	selfPointer *selfPointer
	aimless     struct {
		ID      string      `json:"id"`
		Map     selfMap     `json:"map"`
		Slice   selfSlice   `json:"slice"`
		Pointer selfPointer `json:"pointer"`
	}
)

// TestRecursiveTypes: types that contain themselves are described, compared and written out.
func TestRecursiveTypes(t *testing.T) {
	t.Parallel()
	for _, topic := range []eventbus.AnyTopic{
		recursive[part]("part"), recursive[purchase]("purchase"), recursive[selfEmbedding]("self-embedding"), recursive[oneEmbeds]("one-embeds"),
		recursive[aimless]("aimless"), recursive[selfMap]("self-map"), recursive[selfSlice]("self-slice"),
	} {
		d, err := catalog.Of(topic)
		if err != nil {
			t.Error(err)
			continue
		}
		e := &d.Topics[0].Events[0]
		if !json.Valid(e.Schema) || len(e.Example) > 0 && !json.Valid(e.Example) {
			t.Errorf("%s: schema %s, example %s", e.Type, e.Schema, e.Example)
		}
		var text bytes.Buffer
		if _, err := d.WriteTo(&text); err != nil {
			t.Error(err)
		}
		again, err := catalog.Read(&text)
		if err != nil {
			t.Fatalf("%s: %v", e.Type, err)
		}
		if changes := catalog.Compare(d, again); len(changes) > 0 {
			t.Errorf("%s: %+v", e.Type, changes)
		}
		if _, err := d.AsyncAPI(catalog.AsyncAPIConfig{Title: "t"}); err != nil {
			t.Errorf("%s: %v", e.Type, err)
		}
		if len(d.Markdown()) == 0 {
			t.Errorf("%s has no page", e.Type)
		}
	}
}

func recursive[T any](name string) eventbus.AnyTopic {
	return eventbus.NewTopic(eventbus.TopicConfig[T]{Domain: "a", Name: name, Type: name, Unkeyed: true})
}
