package sales

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

// The contract as somebody might change it without a thought.
type (
	renamed struct {
		CustomerID string    `json:"customerId"`
		FirstName  string    `json:"firstName"`
		FamilyName string    `json:"familyName"`
		Email      string    `json:"email,omitempty"`
		CreatedAt  time.Time `json:"createdAt"`
	}
	retyped struct {
		CustomerID string `json:"customerId"`
		GivenName  string `json:"givenName"`
		FamilyName string `json:"familyName"`
		Email      string `json:"email,omitempty"`
		CreatedAt  int64  `json:"createdAt"`
	}
	required struct {
		CustomerCreated
		Country string `json:"country"`
	}
)

// outcome is what Golden says in a test.
type outcome struct{ text strings.Builder }

func (*outcome) Helper() {}

func (o *outcome) Errorf(format string, args ...any) { fmt.Fprintf(&o.text, format+"\n", args...) }

func (o *outcome) Logf(string, ...any) {}

func changed[T any](key func(T) string) eventbus.AnyTopic {
	return eventbus.NewTopic(eventbus.TopicConfig[T]{
		Domain: "sales", Name: "customer", Plural: true, Version: "v2", Type: "CustomerCreated", Key: key, Partitions: 3,
		Description: "New customers, with their names in two parts.",
	})
}

// TestGate makes the changes that break readers, and wants to be told which.
func TestGate(t *testing.T) {
	before, err := os.ReadFile("catalog.json")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(catalog.UpdateVariable, "1") // nothing is written over a breaking change
	for _, c := range []struct {
		name  string
		topic eventbus.AnyTopic
		says  []string
	}{
		{"a renamed field", changed(func(e renamed) string { return e.CustomerID }),
			[]string{"#/properties/givenName field-renamed (givenName → firstName)", "a reader that was built with the old schema finds no givenName"}},
		{"a retyped field", changed(func(e retyped) string { return e.CustomerID }),
			[]string{"#/properties/createdAt field-retyped (string → integer)", "a reader that was built with the old schema can't read an integer"}},
		{"a new required field", changed(func(e required) string { return e.CustomerID }),
			[]string{"#/properties/country required-field-added", "a reader of the events that the topic still keeps meets events without it"}},
		{"another key function", changed(func(e CustomerCreated) string { return e.Email }),
			[]string{"CustomerCreated key-function-changed", "the order breaks for all that is under way"}},
	} {
		var o outcome
		catalog.Golden(&o, "catalog.json", c.topic, CustomerCreatedV1Topic)
		for _, want := range append(c.says, "breaking: sales.public.customers.v2/CustomerCreated", "catalog.allow") {
			if !strings.Contains(o.text.String(), want) {
				t.Errorf("%s: %q is not in\n%s", c.name, want, &o.text)
			}
		}
	}
	if after, err := os.ReadFile("catalog.json"); err != nil || string(after) != string(before) {
		t.Errorf("the file was written over a breaking change: %v", err)
	}
}
