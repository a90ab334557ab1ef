package redrive

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

const box = "t.g.dlq"

func newBook() *book { return &book{boxes: make(map[string]*entries)} }

// told adds a record with a key and a value to a book.
func (b *book) told(t *testing.T, key, value string) error {
	t.Helper()
	r := transport.Record{Topic: Topic, Offset: b.next, Key: []byte(key)}
	if value != "" {
		r.Value = []byte(value)
	}
	b.next++
	return b.apply(&r)
}

// stored returns a job in its stored form.
func stored(t *testing.T, change func(*Job)) string {
	t.Helper()
	j := Job{
		Order: Order{Topic: box, Who: "ann@desk", Filter: Filter{Keys: []string{"\x00\xff", "k"}, Ranges: []Range{At(1, 2)}, After: time.Unix(1, 0).UTC()}, Rate: 2}.withDefaults(),
		ID:    "0badc0de", State: Waiting, End: map[int32]int64{0: 7},
	}
	if change != nil {
		change(&j)
	}
	r, err := pack(place{kind: kindJob, topic: box, job: j.ID}, jobRecord{version, j})
	if err != nil {
		t.Fatal(err)
	}
	return string(r.Value)
}

// TestBook: stored records are read back unchanged, even keys that are not text.
func TestBook(t *testing.T) {
	b := newBook()
	id := transport.TopicID{7}
	var states page
	states.set(5, Quarantined)
	for key, value := range map[string]string{
		"job/t.g.dlq/0badc0de":  stored(t, nil),
		"page/t.g.dlq/2/1":      string(packPage(id, &states)),
		"page/t.g.dlq/2/9":      string(packPage(transport.TopicID{6}, &states)),
		"partition/t.g.dlq/2":   fmt.Sprintf(`{"v":1,"topic":"%x","base":1000,"replayed":3,"skipped":4}`, id),
		"partition/other.dlq/2": "damaged",
		"":                      "x", "page": "x", "page/t.g.dlq/2/01": "x", "page/t.g.dlq/-1/0": "x", "job/t.g.dlq/../x": "x", "page/t.g/0/0": "x", "what/t.g.dlq/1": "x",
	} {
		if err := b.told(t, key, value); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	e, err := b.of(box)
	if err != nil {
		t.Fatal(err)
	}
	j := e.jobs["0badc0de"]
	var want jobRecord
	if err := json.Unmarshal([]byte(stored(t, nil)), &want); err != nil || !reflect.DeepEqual(*j, want.Job) || j.Filter.Keys[0] != "\x00\xff" || j.Filter.States[0] != Open {
		t.Errorf("%+v, %v; want %+v", j, err, want)
	}
	l, ok := e.ledger(2, id)
	if !ok || l.base != 1000 || l.State(1029) != Quarantined || l.State(1028) != Open || l.quarantined != 1 || l.replayed != 3 || l.skipped != 4 {
		t.Errorf("%+v", l)
	}
	if !reflect.DeepEqual(l.changed, map[int64]bool{9: true}) {
		t.Errorf("%v are removed, want the page of the topic before", l.changed)
	}
	if _, ok := e.ledger(2, transport.TopicID{8}); ok {
		t.Error("the ledger of a topic that was deleted is the new one's")
	}
	if _, err := b.of("other.dlq"); err == nil || !strings.Contains(err.Error(), Topic+"/0@") {
		t.Errorf("%v; want the place of the damaged record", err)
	}
	if err := b.told(t, "partition/other.dlq/2", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.of("other.dlq"); err != nil {
		t.Errorf("%v; want that a removed record is forgotten", err)
	}
}

// TestBookRefuses: a record that this version can't read for sure makes its box
// unusable, and the error shows nothing of its contents.
func TestBookRefuses(t *testing.T) {
	newer := strings.Replace(stored(t, nil), `"v":1`, `"v":2,"sharper":true`, 1)
	for name, record := range map[string][2]string{
		"newer job":            {"job/t.g.dlq/0badc0de", newer},
		"unknown condition":    {"job/t.g.dlq/0badc0de", strings.Replace(stored(t, nil), `"filter":{`, `"filter":{"sharper":["secret"],`, 1)},
		"other job":            {"job/t.g.dlq/0badc0df", stored(t, nil)},
		"other topic":          {"job/u.g.dlq/0badc0de", stored(t, nil)},
		"unknown action":       {"job/t.g.dlq/0badc0de", stored(t, func(j *Job) { j.Action = "secret" })},
		"unknown state":        {"job/t.g.dlq/0badc0de", stored(t, func(j *Job) { j.State = "secret" })},
		"skip without reason":  {"job/t.g.dlq/0badc0de", stored(t, func(j *Job) { j.Action = Skip })},
		"nobody":               {"job/t.g.dlq/0badc0de", stored(t, func(j *Job) { j.Who = "" })},
		"endless text":         {"job/t.g.dlq/0badc0de", stored(t, func(j *Job) { j.Error = strings.Repeat("secret", 1000) })},
		"something behind":     {"job/t.g.dlq/0badc0de", stored(t, nil) + `{"v":1}`},
		"no JSON":              {"job/t.g.dlq/0badc0de", "secret"},
		"huge":                 {"job/t.g.dlq/0badc0de", `{"v":1,"who":"` + strings.Repeat("x", maxJobBytes) + `"}`},
		"newer page":           {"page/t.g.dlq/0/0", "\x02" + strings.Repeat("x", 500)},
		"short page":           {"page/t.g.dlq/0/0", "\x01secret"},
		"empty page":           {"page/t.g.dlq/0/0", "\x00"},
		"negative base":        {"partition/t.g.dlq/0", `{"v":1,"topic":"00000000000000000000000000000000","base":-1,"replayed":0,"skipped":0}`},
		"no topic":             {"partition/t.g.dlq/0", `{"v":1,"topic":"","base":0,"replayed":0,"skipped":0}`},
		"partition of version": {"partition/t.g.dlq/0", `{"v":9}`},
		"fence":                {"fence/t.g.dlq", `{"v":1,"nonce":5}`},
	} {
		b := newBook()
		if err := b.told(t, record[0], record[1]); err != nil {
			t.Errorf("%s: %v; want that other boxes stay open", name, err)
		}
		topic := strings.Split(record[0], "/")[1]
		_, err := b.of(topic)
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), Topic+"/0@0") {
			t.Errorf("%s: %v", name, err)
		}
		if strings.HasPrefix(name, "newer") && !errors.Is(err, errNewer) {
			t.Errorf("%s: %v; want that it is of a newer version", name, err)
		}
		// The record's previous value must not stay in use.
		if e := b.boxes[topic]; len(e.jobs)+len(e.pages[0])+len(e.partitions) > 0 {
			t.Errorf("%s: it is taken in: %+v", name, e)
		}
	}
}

// TestBookBounded: memory is bounded, whatever the number of records.
func TestBookBounded(t *testing.T) {
	for name, record := range map[string]func(i int) (key, value string){
		"pages": func(i int) (string, string) {
			return fmt.Sprintf("page/t.g.dlq/0/%d", i), string(packPage(transport.TopicID{}, new(page)))
		},
		"broken": func(i int) (string, string) { return fmt.Sprintf("page/t.g.dlq/0/%d", i), "x" },
		"jobs": func(i int) (string, string) {
			id := fmt.Sprintf("%08x", i)
			return "job/t.g.dlq/" + id, stored(t, func(j *Job) { j.ID, j.Why = id, strings.Repeat("y", maxText) })
		},
		"boxes": func(i int) (string, string) { return fmt.Sprintf("fence/%d.dlq", i), `{"v":1,"nonce":"x"}` },
		"partitions": func(i int) (string, string) {
			return fmt.Sprintf("partition/t.g.dlq/%d", i), fmt.Sprintf(`{"v":1,"topic":"%032x","base":0,"replayed":0,"skipped":0}`, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.size = maxBook - (1 << 20) // as far as it is filled already
			err, i := error(nil), 0
			for ; err == nil && i < 1_000_000; i++ {
				key, value := record(i)
				err = b.told(t, key, value)
			}
			if err == nil || i < 100 {
				t.Errorf("%d records: %v", i, err)
			}
			// Repeating the same record takes no more memory.
			b = newBook()
			key, value := record(1)
			if err := b.told(t, key, value); err != nil {
				t.Fatal(err)
			}
			size := b.size
			for range 100 {
				if err := b.told(t, key, value); err != nil || b.size != size {
					t.Fatalf("%d became %d, %v", size, b.size, err)
				}
			}
		})
	}
}

func FuzzApply(f *testing.F) {
	f.Add("job/t.g.dlq/0badc0de", []byte(`{"v":1,"id":"0badc0de","topic":"t.g.dlq","action":"replay","who":"x","state":"waiting"}`))
	f.Add("page/t.g.dlq/0/0", packPage(transport.TopicID{}, new(page)))
	f.Add("partition/t.g.dlq/0", []byte(`{"v":1,"topic":"00000000000000000000000000000000","base":4,"replayed":0,"skipped":0}`))
	f.Add("fence/t.g.dlq", []byte(`{"v":1,"nonce":"x"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		b := newBook()
		if err := b.apply(&transport.Record{Key: []byte(key), Value: value}); err != nil {
			t.Fatal(err)
		}
		e, err := b.of(box)
		if err != nil {
			return
		}
		if l, ok := e.ledger(0, transport.TopicID{}); ok {
			l.Mark(l.base, Skipped)
			l.Pass(l.base + 3000)
			if l.marked < 0 || l.quarantined < 0 {
				t.Fatalf("%+v", l)
			}
		}
	})
}

func TestOrders(t *testing.T) {
	for says, o := range map[string]Order{
		"not a dead-letter topic": {Topic: "t.g.retry", Who: "a"},
		"retry topic":             {Topic: box, Who: "a", Through: []string{"a b"}},
		"too many":                {Topic: box, Who: "a", Through: make([]string, 101)},
		"who gives the order":     {Topic: box},
		"give a reason":           {Topic: box, Who: "a", Action: Purge},
		"no action":               {Topic: box, Who: "a", Action: "burn"},
		"rate":                    {Topic: box, Who: "a", Rate: -1},
		"max redeliveries":        {Topic: box, Who: "a", MaxRedeliveries: -1},
		"leave the filter out":    {Topic: box, Who: "a", Why: "b", Action: Purge, Filter: Filter{Types: []string{"x"}}},
		"at most 500":             {Topic: box, Who: "a", Filter: Filter{Keys: make([]string, 501)}},
		"at most 4096":            {Topic: box, Who: "a", Filter: Filter{IDs: []string{strings.Repeat("x", 5000)}}},
		"not UTF-8":               {Topic: box, Who: "a", Filter: Filter{Types: []string{"\xff"}}},
		"no offsets":              {Topic: box, Who: "a", Filter: Filter{Ranges: []Range{{From: 3, To: 3}}}},
		"no time":                 {Topic: box, Who: "a", Filter: Filter{After: time.Unix(2, 0), Before: time.Unix(1, 0)}},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v; want %q", o, err, says)
		}
	}
	if err := (&Order{Topic: box, Who: "a", Filter: Filter{Keys: []string{"\xff"}}}).Validate(); err != nil {
		t.Errorf("a key that is not text: %v", err)
	}
}
