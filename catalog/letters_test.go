package catalog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
)

// lettersOf returns a document of one topic with the given letters.
func lettersOf(t *testing.T, letters string) *catalog.Document {
	t.Helper()
	d, err := catalog.Read(strings.NewReader(`{"catalogVersion": 1, "topics": [{
		"name": "sales.public.orders.v1", "domain": "sales", "scope": "public", "topic": "orders", "version": "v1", "groups": ["billing", "mailer"],
		"events": [{"type": "Sales.Order", "key": {"source": "none"}}], "letters": [` + letters + `]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestLettersRenamed: a group that chooses other names leaves events behind in the
// former topics, and Compare says so.
func TestLettersRenamed(t *testing.T) {
	derived, chosen := lettersOf(t, ""), lettersOf(t, `{"group": "mailer", "deadLetterTopic": "{topic}-dlt"}`)
	for _, c := range []struct{ was, is *catalog.Document }{{derived, chosen}, {chosen, derived}} {
		changes := catalog.Compare(c.was, c.is)
		if len(changes) != 1 || changes[0].Rule != "letters-renamed" || changes[0].Level != catalog.Dangerous || !strings.HasSuffix(changes[0].Path, "/mailer") {
			t.Errorf("changes: %v", changes)
		}
	}
	// Spelling out the default names is not a change.
	same := lettersOf(t, `{"group": "mailer", "deadLetterTopic": "{topic}.{group}.dlq", "retryTopic": "{topic}.{group}.retry"}`)
	if changes := catalog.Compare(derived, same); len(changes) != 0 {
		t.Errorf("changes: %v", changes)
	}
}

// TestMergeLetters: two documents may have the letters of different groups, but not
// different ones of the same group.
func TestMergeLetters(t *testing.T) {
	mailer := lettersOf(t, `{"group": "mailer", "deadLetterTopic": "{env}.letters"}`)
	billing := lettersOf(t, `{"group": "billing", "retryTopic": "{topic}-again"}`)
	merged, err := catalog.Merge(mailer, billing)
	if err != nil {
		t.Fatal(err)
	}
	topic := &merged.Topics[0]
	for group, want := range map[string][2]string{
		"mailer":  {"prod.letters", "prod.sales.public.orders.v1.mailer.retry"},
		"billing": {"prod.sales.public.orders.v1.billing.dlq", "prod.sales.public.orders.v1-again"},
	} {
		if dead, retry, err := topic.LetterTopics("Production", group); err != nil || dead != want[0] || retry != want[1] {
			t.Errorf("%s: %s, %s, %v", group, dead, retry, err)
		}
	}
	if _, err := catalog.Merge(mailer, lettersOf(t, `{"group": "mailer", "deadLetterTopic": "{env}.others"}`)); err == nil || !strings.Contains(err.Error(), "group mailer") {
		t.Errorf("two choices of a group: %v", err)
	}
	if len(mailer.Topics[0].Letters) != 1 || len(billing.Topics[0].Letters) != 1 {
		t.Error("the documents were changed")
	}
}

// TestAsyncAPIOfLetters: channels have the chosen addresses.
func TestAsyncAPIOfLetters(t *testing.T) {
	d := lettersOf(t, `{"group": "mailer", "deadLetterTopic": "letters", "retryTopic": "{env}.again"}`)
	for env, want := range map[string][]string{
		"":           {"letters", "{environment}.again", "{environment}.sales.public.orders.v1.billing.dlq"},
		"Production": {"letters", "prod.again", "prod.sales.public.orders.v1.billing.dlq"},
	} {
		text, err := d.AsyncAPI(catalog.AsyncAPIConfig{Environment: env})
		if err != nil {
			t.Fatal(err)
		}
		var document struct {
			Channels map[string]struct {
				Address    string         `json:"address"`
				Parameters map[string]any `json:"parameters"`
			} `json:"channels"`
		}
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&document); err != nil {
			t.Fatal(err)
		}
		var addresses []string
		for _, c := range document.Channels {
			addresses = append(addresses, c.Address)
			if strings.Contains(c.Address, "{environment}") != (len(c.Parameters) > 0) {
				t.Errorf("%s has the parameters %v", c.Address, c.Parameters)
			}
		}
		for _, address := range want {
			if !slices.Contains(addresses, address) {
				t.Errorf("in %q there is no channel %s among %v", env, address, addresses)
			}
		}
	}
}

// TestAsyncAPIOfSharedLetters: a channel that several topics share has the messages of all.
func TestAsyncAPIOfSharedLetters(t *testing.T) {
	topic := func(name, group string) string {
		return `{"name": "sales.public.` + name + `.v1", "domain": "sales", "scope": "public", "topic": "` + name + `", "version": "v1", "groups": ["` + group + `"],
			"events": [{"type": "Sales.` + name + `", "key": {"source": "none"}}], "letters": [{"group": "` + group + `", "deadLetterTopic": "{env}.letters"}]}`
	}
	d, err := catalog.Read(strings.NewReader(`{"catalogVersion": 1, "topics": [` + topic("invoices", "mailer") + "," + topic("orders", "mailer") + "," + topic("returns", "billing") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{"", "Production"} {
		text, err := d.AsyncAPI(catalog.AsyncAPIConfig{Environment: env})
		if err != nil {
			t.Fatal(err)
		}
		var document struct {
			Channels map[string]struct {
				Address  string         `json:"address"`
				Messages map[string]any `json:"messages"`
				Of       []string       `json:"x-eventbus-of"`
				Role     string         `json:"x-eventbus-role"`
			} `json:"channels"`
		}
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		for name, c := range document.Channels {
			want := 1
			if strings.HasSuffix(c.Address, ".letters") {
				want = 3
			}
			if len(c.Messages) != want || c.Role != "" && len(c.Of) != want {
				t.Errorf("in %q %s has %d messages, of %v", env, name, len(c.Messages), c.Of)
			}
		}
	}
}

// TestManyLetters: a large document is read, compared and merged in linear time, and
// groups are found in any order.
func TestManyLetters(t *testing.T) {
	const groups = 60_000
	var names, letters strings.Builder
	for i := range groups {
		comma := ","
		if i == 0 {
			comma = ""
		}
		fmt.Fprintf(&names, `%s"group-%05d"`, comma, i)
		fmt.Fprintf(&letters, `%s{"group":"group-%05d","retryTopic":"{topic}-%d"}`, comma, groups-1-i, groups-1-i)
	}
	document := func(letters string) *catalog.Document {
		d, err := catalog.Read(strings.NewReader(`{"catalogVersion": 1, "topics": [{
			"name": "sales.public.orders.v1", "domain": "sales", "scope": "public", "topic": "orders", "version": "v1", "groups": [` + names.String() + `],
			"events": [{"type": "Sales.Order", "key": {"source": "none"}}], "letters": [` + letters + `]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := document(letters.String())
	for i := 0; i < groups; i += groups / 100 {
		if _, retry, err := d.Topics[0].LetterTopics("Test", fmt.Sprintf("group-%05d", i)); err != nil || retry != fmt.Sprintf("test.sales.public.orders.v1-%d", i) {
			t.Fatalf("%s, %v", retry, err)
		}
	}
	if changes := catalog.Compare(document(""), d); len(changes) != groups {
		t.Errorf("%d changes", len(changes))
	}
	if merged, err := catalog.Merge(document(""), d); err != nil || len(merged.Topics[0].Letters) != groups {
		t.Errorf("merged: %v", err)
	}
}

// TestLettersOfADocument: a document from elsewhere is checked before its names are used.
func TestLettersOfADocument(t *testing.T) {
	_, err := catalog.Read(strings.NewReader(`{"catalogVersion": 1, "topics": [{
		"name": "sales.public.orders.v1", "domain": "sales", "scope": "public", "topic": "orders", "version": "v1", "groups": ["mailer"], "events": [{"type": "Sales.Order", "key": {"source": "none"}}],
		"letters": [{"group": "other"}, {"group": "mailer", "deadLetterTopic": "a b"}, {"group": "mailer", "retryTopic": "{what}"}]}]}`))
	for _, want := range []string{`"other"`, "twice", `"a b"`, `"{what}"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
