package console_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/console"
)

// TestFieldsOfEveryLanguage: the catalogue lists fields of Avro schemas as well as those of
// JSON Schemas.
func TestFieldsOfEveryLanguage(t *testing.T) {
	document := &catalog.Document{Environment: "Test", Topics: []catalog.Topic{{Name: "sales.public.payments.v1", Events: []catalog.Event{{
		Type: "Sales.Paid", ContentType: "application/avro",
		Schema: json.RawMessage(`{"type":"record","name":"Paid","fields":[{"name":"amount","type":{"type":"record","name":"Money","fields":[{"name":"cents","type":"int"}]}},{"name":"payer","type":["null","string"],"x-eventbus-personal":true,"doc":"who <b>pays"}]}`),
	}}}}}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	h := newConsole(t, func(c *console.Config) {
		c.Bus, c.Members, c.Catalog = nil, []console.Member{{URL: gone.URL}}, document
	})
	page := ask(h, "GET", "/catalog", "").Body.String()
	for _, want := range []string{"<code>amount.cents</code>", "may be null", ">personal<", "who &lt;b&gt;pays"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in %s", want, page[strings.Index(page, "<main"):])
		}
	}
}

// TestKeysOfATopic: a download has what the page with its link shows, whatever characters
// names contain.
func TestKeysOfATopic(t *testing.T) {
	q := url.Values{"group": {"a/b: c+d%25"}, "topic": {"a topic"}, "find": {"x&y=z;é"}}
	page := ask(newConsole(t, nil), "GET", "/keys?"+q.Encode(), "").Body.String()
	links := regexp.MustCompile(`href="keys\.(csv|json)([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(links) != 2 {
		t.Fatal(page)
	}
	for _, link := range links {
		if got := query(t, link[2]); !reflect.DeepEqual(got, q) {
			t.Errorf("the link is of %v, want %v", got, q)
		}
	}
}
