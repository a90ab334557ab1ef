package personal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/personal"
	"github.com/eventbus-go/eventbus/resilience"
)

type email string

type address struct {
	Street string `json:"street" data:"personal"`
	City   string `json:"city"`
}

type hidden struct {
	Phone string `json:"phone" data:"personal"`
}

// registered has personal data wherever a string can be.
type registered struct {
	hidden
	ID       string             `json:"id"`
	Email    email              `json:"email" data:"personal"`
	Nickname *string            `json:"nickname,omitempty" data:"personal"`
	Names    []string           `json:"names" data:"personal"`
	Home     address            `json:"home"`
	Others   []*address         `json:"others"`
	ByKind   map[string]address `json:"byKind"`
	Notes    map[string]string  `json:"notes" data:"personal"`
	Pair     [2]string          `json:"pair" data:"personal"`
	Empty    string             `json:"empty" data:"personal"`
	Friend   *registered        `json:"friend,omitempty"`
	Visits   int                `json:"visits"`
}

func ada() registered {
	nick := "countess"
	return registered{
		hidden: hidden{"+44 1"}, ID: "c-1", Email: "ada@example.com", Nickname: &nick, Names: []string{"Augusta Ada", "Lovelace"},
		Home: address{"12 St James's Square", "London"}, Others: []*address{{"Ockham Park", "Surrey"}, nil},
		ByKind: map[string]address{"work": {"1 Dorset Street", "London"}}, Notes: map[string]string{"a": "likes engines"}, Pair: [2]string{"first of two", "second of two"},
		Friend: &registered{ID: "c-2", Email: "charles@example.com"}, Visits: 3,
	}
}

// plain are the texts that must not be in a log. None is so short that base64 could contain
// it by chance.
var plain = []string{
	"+44 1", "ada@", "countess", "Augusta Ada", "Lovelace", "St James", "Ockham", "Dorset", "engines", "of two", "charles@",
}

func topicWith(keys personal.Keys, config personal.Config) *eventbus.Topic[registered] {
	return eventbus.NewTopic(eventbus.TopicConfig[registered]{
		Domain: "crm", Name: "customer", Plural: true, Key: func(r registered) string { return r.ID },
		Codec: personal.New(eventbus.JSON(), keys, config),
	})
}

// TestRoundTrip: the log has no personal text, the handler gets all of it, and the
// publisher's value is unchanged.
func TestRoundTrip(t *testing.T) {
	for name, config := range map[string]personal.Config{"fields": {}, "whole": {Whole: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				topic := topicWith(new(personal.Ring), config)
				c := kafkatest.NewMemory(t)
				c.Start(t, eventbus.On(topic, func(ctx context.Context, r registered) error {
					if e, _ := eventbus.EnvelopeFrom(ctx); e.Shredded {
						return errors.New("shredded")
					}
					return nil
				}))
				event := ada()
				kafkatest.Publish(t, c, topic, event)
				if !reflect.DeepEqual(event, ada()) {
					t.Errorf("the publisher's value was changed: %+v", event)
				}
				c.Settle(t)
				kafkatest.Handled(t, c, topic, ada())
				record := c.Memory().Records(topic.In(c.Environment()))[0]
				for _, text := range plain {
					if strings.Contains(fmt.Sprintf("%s %v", record.Value, record.Headers), text) {
						t.Errorf("%q is in the log: %s", text, record.Value)
					}
				}
				if config.Whole {
					return
				}
				// A foreign reader finds the same fields, of the same types.
				var foreign registered
				if err := json.Unmarshal(record.Value, &foreign); err != nil || foreign.ID != "c-1" || foreign.Visits != 3 || foreign.Home.City != "London" || foreign.Empty != "" {
					t.Errorf("%+v, %v", foreign, err)
				}
			})
		})
	}
}

// TestErased: events of an erased subject are handled without its personal data and with
// Shredded set, and no more can be published.
func TestErased(t *testing.T) {
	for name, config := range map[string]personal.Config{"fields": {}, "whole": {Whole: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keys := new(personal.Ring)
				topic := topicWith(keys, config)
				c := kafkatest.NewMemory(t)
				kafkatest.Publish(t, c, topic, ada(), registered{ID: "c-9", Email: "grace@example.com"})
				keys.Erase("c-1")
				shredded := make(chan bool, 2)
				got := make(chan registered, 2)
				bus := c.Start(t, eventbus.On(topic, func(ctx context.Context, r registered) error {
					e, _ := eventbus.EnvelopeFrom(ctx)
					shredded <- e.Shredded
					got <- r
					return nil
				}))
				c.Settle(t)
				close(got)
				close(shredded)
				for r := range got {
					if gone := <-shredded; gone != (r.ID != "c-9") || (r.Email == "") != gone {
						t.Errorf("%+v, shredded %t", r, gone)
					}
					if !config.Whole && r.ID == "c-1" && (r.Visits != 3 || r.Home.City != "London" || r.Nickname == nil || *r.Nickname != "" || len(r.Names) != 2) {
						t.Errorf("more is missing than was personal: %+v", r)
					}
				}
				err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), ada())
				if !errors.Is(err, personal.ErrDeleted) || !strings.Contains(err.Error(), "the subject of the event was erased") {
					t.Error(err)
				}
			})
		})
	}
}

// TestMoved: a ciphertext works only in its own event and field.
func TestMoved(t *testing.T) {
	topic := topicWith(new(personal.Ring), personal.Config{})
	e, err := topic.Encode(ada())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topic.Decode(e); err != nil {
		t.Fatal(err)
	}
	other := *e
	other.ID = "another"
	_, err = topic.Decode(&other)
	if err == nil || !strings.Contains(err.Error(), "altered, or moved") {
		t.Errorf("another event: %v", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(e.Data, &fields); err != nil {
		t.Fatal(err)
	}
	fields["email"], fields["phone"] = fields["phone"], fields["email"]
	other = *e
	if other.Data, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	if _, err = topic.Decode(&other); err == nil || strings.Contains(err.Error(), "ada@") {
		t.Errorf("fields exchanged: %v", err)
	}
	for _, text := range []string{"pii:1:nobody:AAAA", "pii:1:" + strings.Repeat("k", 10_000) + ":AAAA", "pii:1:", "pii:1::"} {
		fields["email"], fields["phone"] = text, ""
		if other.Data, err = json.Marshal(fields); err != nil {
			t.Fatal(err)
		}
		if _, err := topic.Decode(&other); err != nil && len(err.Error()) > 2000 {
			t.Errorf("%.20s: an error of %d bytes", text, len(err.Error()))
		}
	}
}

// TestBeforeEncryption: events that are in the log in plain text can be read.
func TestBeforeEncryption(t *testing.T) {
	topic := topicWith(new(personal.Ring), personal.Config{})
	data, err := json.Marshal(ada())
	if err != nil {
		t.Fatal(err)
	}
	got, err := topic.Decode(&eventbus.Envelope{ID: "1", Type: topic.Type(), DataContentType: "application/json", Data: data})
	if err != nil || !reflect.DeepEqual(got, ada()) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestOtherVersion: text that a later version encrypted is an error that says so, never
// plain text; plain text that only resembles it is read.
func TestOtherVersion(t *testing.T) {
	topic := topicWith(new(personal.Ring), personal.Config{})
	decode := func(contentType string, c registered) (registered, error) {
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if contentType == personal.Sealed {
			data = []byte(c.Email)
		}
		return topic.Decode(&eventbus.Envelope{ID: "1", Type: topic.Type(), DataContentType: contentType, Data: data})
	}
	c := ada()
	for _, contentType := range []string{"application/json", personal.Sealed} {
		c.Email = "pii:2:key-7:c2VjcmV0"
		if got, err := decode(contentType, c); err == nil || !strings.Contains(err.Error(), "encrypted in form 2") || got.Email != "" {
			t.Errorf("%s: %+v, %v", contentType, got, err)
		}
	}
	for _, name := range []string{"pii: 2", "pii:two:key:text", "pii:2:"} {
		c.Email = email(name)
		if got, err := decode("application/json", c); err != nil || got.Email != email(name) {
			t.Errorf("%q is read as %q, %v", name, got.Email, err)
		}
	}
}

// TestKeysAreDown: events wait by their retry policy.
func TestKeysAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &flaky{Keys: new(personal.Ring)}
		topic := topicWith(keys, personal.Config{})
		c := kafkatest.NewMemory(t)
		kafkatest.Publish(t, c, topic, ada())
		keys.down.Store(true)
		bus := c.Start(t, eventbus.On(topic, func(context.Context, registered) error { return nil }, eventbus.Retry(resilience.Retry{Elapsed: time.Hour})))
		if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), ada()); err == nil || errors.Is(err, eventbus.ErrSerialization) {
			t.Error(err)
		}
		time.Sleep(time.Minute) // of the bubble
		keys.down.Store(false)
		c.Settle(t)
		kafkatest.Handled(t, c, topic, ada())
	})
}

type flaky struct {
	personal.Keys
	down atomic.Bool
}

var errDown = errors.New("the key service does not answer")

func (f *flaky) Current(ctx context.Context, subject string) (personal.Key, error) {
	if f.down.Load() {
		return personal.Key{}, errDown
	}
	return f.Keys.Current(ctx, subject)
}

func (f *flaky) Find(ctx context.Context, id string) (personal.Key, error) {
	if f.down.Load() {
		return personal.Key{}, errDown
	}
	return f.Keys.Find(ctx, id)
}

// TestRefused: what can't be encrypted is refused, and never published in plain text.
func TestRefused(t *testing.T) {
	keys := new(personal.Ring)
	codec := personal.New(eventbus.JSON(), keys, personal.Config{})
	type pointed struct {
		Key string `json:"key"`
		*hidden
	}
	circle := new(registered)
	circle.Friend = circle
	for name, c := range map[string]struct {
		v    any
		key  string
		want string
	}{
		"a number": {&struct {
			Age int `data:"personal"`
		}{1}, "k", "only strings can be encrypted"},
		"bytes": {&struct {
			Photo []byte `data:"personal"`
		}{}, "k", "only strings"},
		"a struct": {&struct {
			Home address `data:"personal"`
		}{}, "k", "only strings"},
		"any": {&struct {
			X any `data:"personal"`
		}{"x"}, "k", "only strings"},
		"an embedded pointer": {&pointed{"k", &hidden{"1"}}, "k", "embed the type itself"},
		"no subject":          {&hidden{"1"}, "", "no subject"},
		"a circle":            {circle, "k", "circular"},
	} {
		e := &eventbus.Envelope{ID: "1"}
		if c.key != "" {
			e.Key = []byte(c.key)
		}
		out, err := codec.Encode(t.Context(), nil, e, c.v)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(out) > 0 {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
	// Without personal data no key is needed.
	if out, err := codec.Encode(t.Context(), nil, new(eventbus.Envelope), &struct{ X int }{1}); err != nil || string(out) != `{"X":1}` {
		t.Errorf("%s, %v", out, err)
	}
}

// TestSecretsDoNotPrint: a printed key shows only its id.
func TestSecretsDoNotPrint(t *testing.T) {
	k := personal.Key{ID: "k-1", Secret: personal.Secret([]byte("0123456789abcdef0123456789abcdef"))}
	j, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), fmt.Sprintf("%s %q %v", k.Secret, k.Secret, &k), string(j)} {
		if strings.Contains(text, "0123") || strings.Contains(text, "48 49") || strings.Contains(text, "0x30") {
			t.Errorf("%s", text)
		}
	}
	if text := fmt.Sprintf("%x %d", k.Secret, k.Secret); strings.Contains(text, "30313233") || strings.Contains(text, "48 49") {
		t.Errorf("%s", text)
	}
}
