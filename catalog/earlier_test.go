package catalog_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

// measured has everything that catalogues of version 0.1 described less exactly.
type measured struct {
	ID     string             `json:"id" doc:"a < b"`
	Value  float64            `json:"value"`
	Last   *float32           `json:"last"`
	Sensor map[uint8]sensor   `json:"sensor"`
	Named  map[string]float64 `json:"named"`
}

type sensor struct {
	Offset float32           `json:"offset"`
	Steps  map[int32]float64 `json:"steps"`
	Spare  *sensor           `json:"spare"`
	Exact  json.Number       `json:"exact"`
}

func measuredTopic[T any](id func(T) string) eventbus.AnyTopic {
	return eventbus.NewTopic(eventbus.TopicConfig[T]{Domain: "sales", Name: "measured", Version: "v1", Type: "Measured", Key: id})
}

// testdata/earlier.json was written by version 0.1. After an update of the library
// alone, the test still passes, and still guards the contract.
func TestGoldenOfAnEarlierVersion(t *testing.T) {
	kept, err := os.ReadFile("testdata/earlier.json")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "catalog.json")
	run := func(text []byte, topic eventbus.AnyTopic) (r recorder) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		catalog.Golden(&r, file, topic)
		return r
	}
	topic := measuredTopic(func(m measured) string { return m.ID })
	if r := run(kept, topic); len(r.errors) > 0 || len(r.logs) != 1 || !strings.Contains(r.logs[0], "is of an earlier version") {
		t.Errorf("nothing has changed: %q, %q", r.errors, r.logs)
	}
	// Everything else in the file is compared as usual.
	if r := run([]byte(strings.Replace(string(kept), "\"id\": \"", "\"id\": \"x", 1)), topic); len(r.errors) == 0 {
		t.Error("another example passed")
	}
	type narrower struct {
		measured
		Value int8 `json:"value"`
	}
	if r := run(kept, measuredTopic(func(m narrower) string { return m.ID })); len(r.errors) == 0 || !strings.Contains(r.errors[0], "breaking: sales.public.measured.v1/Measured#/properties/value field-retyped") {
		t.Errorf("another type: %q", r.errors)
	}
	t.Setenv(catalog.UpdateVariable, "1")
	if r := run(kept, topic); len(r.errors) > 0 {
		t.Errorf("written again: %q", r.errors)
	}
	now, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(now), "propertyNames") || !strings.Contains(string(now), "float32") {
		t.Errorf("written again: %s, %v", now, err)
	}
	// A new field beside numbers is reported only as a new field.
	type wider struct {
		ID    string  `json:"id"`
		Value float64 `json:"value"`
		Unit  string  `json:"unit,omitempty"`
	}
	type plain struct {
		ID    string  `json:"id"`
		Value float64 `json:"value"`
	}
	if r := run(nil, measuredTopic(func(p plain) string { return p.ID })); len(r.errors) == 0 {
		t.Fatal("an empty file passed")
	}
	_ = os.Remove(file)
	var r recorder
	catalog.Golden(&r, file, measuredTopic(func(p plain) string { return p.ID }))
	text, err := os.ReadFile(file)
	before := strings.Replace(string(text), "                \"format\": \"float64\",\n", "", 1)
	if err != nil || before == string(text) {
		t.Fatalf("%s, %v", text, err)
	}
	if r := run([]byte(before), measuredTopic(func(w wider) string { return w.ID })); len(r.errors) > 0 {
		t.Errorf("a new field: %q", r.errors)
	}
}

// If the keys of a map become numbers, the schema differs only in what an earlier
// version left out, but the examples differ.
func TestKeysThatBecomeNumbers(t *testing.T) {
	t.Parallel()
	document := func(topic eventbus.AnyTopic) *catalog.Document {
		d, err := catalog.Of(topic)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	named := func() *catalog.Document {
		type keyed struct {
			ID string            `json:"id"`
			By map[string]string `json:"by"`
		}
		return document(measuredTopic(func(k keyed) string { return k.ID }))
	}()
	type keyed struct {
		ID string           `json:"id"`
		By map[uint8]string `json:"by"`
	}
	numbered := document(measuredTopic(func(k keyed) string { return k.ID }))
	if changes := catalog.Compare(named, numbered); len(catalog.Failing(changes, catalog.Breaking)) == 0 {
		t.Errorf("%v", changes)
	}
	if _, err := catalog.Merge(named, numbered); err == nil {
		t.Error("merged")
	}
}

// Services of different versions are compared and merged in any order.
func TestEarlierDocuments(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("testdata/earlier.json")
	if err != nil {
		t.Fatal(err)
	}
	old, err := catalog.Read(strings.NewReader(string(source)))
	if err != nil {
		t.Fatal(err)
	}
	now, err := catalog.Of(measuredTopic(func(m measured) string { return m.ID }))
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]*catalog.Document{{old, now}, {now, old}} {
		if changes := catalog.Compare(pair[0], pair[1]); len(changes) > 0 {
			t.Errorf("%v", changes)
		}
		m, err := catalog.Merge(pair[0], pair[1])
		if err != nil || string(m.Topics[0].Events[0].Schema) != string(now.Topics[0].Events[0].Schema) {
			t.Errorf("%v, %v", m, err)
		}
	}
}
