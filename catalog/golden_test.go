package catalog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

// What the quickstart's contract was, and what its author might do to it.
type (
	customer1 struct {
		CustomerID string    `json:"customerId"`
		GivenName  string    `json:"givenName"`
		Email      string    `json:"email,omitempty"`
		CreatedAt  time.Time `json:"createdAt"`
	}
	customer2 struct {
		CustomerID string    `json:"customerId"`
		FirstName  string    `json:"firstName"`
		Email      string    `json:"email,omitempty"`
		CreatedAt  time.Time `json:"createdAt"`
	}
	customer3 struct {
		CustomerID int64     `json:"customerId"`
		GivenName  string    `json:"givenName"`
		Email      string    `json:"email,omitempty"`
		CreatedAt  time.Time `json:"createdAt"`
	}
	customer4 struct {
		CustomerID string    `json:"customerId"`
		GivenName  string    `json:"givenName"`
		Country    string    `json:"country"`
		Email      string    `json:"email,omitempty"`
		CreatedAt  time.Time `json:"createdAt"`
	}
	customer5 struct {
		CustomerID string    `json:"customerId"`
		GivenName  string    `json:"givenName"`
		Nickname   string    `json:"nickname,omitempty" doc:"what friends say" data:"personal"`
		Email      string    `json:"email,omitempty"`
		CreatedAt  time.Time `json:"createdAt"`
	}
)

func contract[T any](key func(T) string) eventbus.AnyTopic {
	return eventbus.NewTopic(eventbus.TopicConfig[T]{Domain: "sales", Name: "customer", Plural: true, Type: "CustomerCreated", Key: key, Partitions: 3})
}

type recorder struct{ errors, logs []string }

func (*recorder) Helper() {}

func (r *recorder) Errorf(f string, a ...any) { r.errors = append(r.errors, fmt.Sprintf(f, a...)) }

func (r *recorder) Logf(f string, a ...any) { r.logs = append(r.logs, fmt.Sprintf(f, a...)) }

func TestGolden(t *testing.T) {
	file := filepath.Join(t.TempDir(), "catalog.json")
	run := func(topic eventbus.AnyTopic) string {
		var r recorder
		catalog.Golden(&r, file, topic)
		return strings.Join(r.errors, "\n")
	}
	was := contract(func(c customer1) string { return c.CustomerID })
	if got := run(was); !strings.Contains(got, "not there yet") {
		t.Errorf("no file: %s", got)
	}
	t.Setenv(catalog.UpdateVariable, "1")
	if got := run(was); got != "" {
		t.Errorf("written: %s", got)
	}
	before, _ := os.ReadFile(file)
	for want, now := range map[string]eventbus.AnyTopic{
		"/properties/givenName field-renamed (givenName → firstName): a reader that was built with the old schema finds no givenName": contract(func(c customer2) string { return c.CustomerID }),
		"/properties/customerId field-retyped (string → integer): a reader that was built with the old schema":                        contract(func(c customer3) string { return fmt.Sprint(c.CustomerID) }),
		"/properties/country required-field-added (nothing → country): a reader of the events that the topic still keeps":             contract(func(c customer4) string { return c.CustomerID }),
		"CustomerCreated key-function-changed": contract(func(c customer1) string { return c.Email }),
	} {
		if got := run(now); !strings.Contains(got, "breaking: sales.public.customers.v1/CustomerCreated") || !strings.Contains(got, want) || !strings.Contains(got, "catalog.allow") {
			t.Errorf("%s\nwant %q in it", got, want)
		}
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Error("the file was written over a breaking change")
	}
	t.Setenv(catalog.UpdateVariable, "")
	added := contract(func(c customer5) string { return c.CustomerID })
	if got := run(added); !strings.Contains(got, "is behind the declarations") {
		t.Errorf("a compatible change: %s", got)
	}
	t.Setenv(catalog.UpdateVariable, "1")
	if got := run(added); got != "" {
		t.Errorf("a compatible change, written: %s", got)
	}
	if after, _ := os.ReadFile(file); !strings.Contains(string(after), `"x-eventbus-personal": true`) || !strings.Contains(string(after), "what friends say") {
		t.Error("the file lacks the tags of fields")
	}
	if err := os.WriteFile(strings.TrimSuffix(file, ".json")+".allow", []byte("sales.public.customers.v1/CustomerCreated key-function-changed 2026-11-26 drained first\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(contract(func(c customer5) string { return c.Email })); got != "" {
		t.Errorf("an allowed change: %s", got)
	}
	// The line was for that change: it allows no other one of its kind.
	for range 2 {
		if got := run(contract(func(c customer5) string { return c.GivenName })); !strings.Contains(got, "key-function-changed") {
			t.Errorf("another change under a spent allowance: %q", got)
		}
	}
	if left, err := os.ReadFile(strings.TrimSuffix(file, ".json") + ".allow"); err != nil || string(left) != "# sales.public.customers.v1/CustomerCreated key-function-changed 2026-11-26 drained first\n" {
		t.Errorf("left of the allowances: %q, %v", left, err)
	}
}

// A field's name may have spaces, and so may the path in a line that was used.
func TestGoldenSpendsPathsWithSpaces(t *testing.T) {
	type spaced struct {
		ID   string `json:"id"`
		Name string `json:"given name"`
	}
	type renamed struct {
		ID   string `json:"id"`
		Name string `json:"first name"`
	}
	t.Setenv(catalog.UpdateVariable, "1")
	file := filepath.Join(t.TempDir(), "catalog.json")
	line := "sales.public.customers.v1/CustomerCreated#/properties/given name field-renamed 2026-11-26 it was empty\n"
	if err := os.WriteFile(strings.TrimSuffix(file, ".json")+".allow", []byte("# why\n\n"+line), 0o600); err != nil {
		t.Fatal(err)
	}
	var r recorder
	catalog.Golden(&r, file, contract(func(c spaced) string { return c.ID }))
	catalog.Golden(&r, file, contract(func(c renamed) string { return c.ID }))
	if left, err := os.ReadFile(strings.TrimSuffix(file, ".json") + ".allow"); err != nil || len(r.errors) > 0 || string(left) != "# why\n\n# "+line {
		t.Errorf("left of the allowances: %q, %v; %q", left, err, r.errors)
	}
}
