package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type entry struct {
	Account string `json:"account"`
	N       int    `json:"n"`
}

var entries = eventbus.NewTopic(eventbus.TopicConfig[entry]{
	Domain: "bank", Name: "entries", Partitions: 4, Key: func(e entry) string { return e.Account },
})

func entryOf(key, n int) entry { return entry{fmt.Sprint("account-", key), n} }

// book is a handler's store. Unless it is careful, it books a repeated event twice.
type book struct {
	careful bool

	mu      sync.Mutex
	booked  map[string][]int
	already map[string]bool
}

func newBook(careful bool) *book {
	return &book{careful: careful, booked: make(map[string][]int), already: make(map[string]bool)}
}

func (b *book) book(ctx context.Context, e entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	envelope, _ := eventbus.EnvelopeFrom(ctx)
	if b.careful && b.already[envelope.ID] {
		return nil
	}
	b.already[envelope.ID] = true
	b.booked[e.Account] = append(b.booked[e.Account], e.N)
	return nil
}

func (b *book) effects(key int) []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.booked[entryOf(key, 0).Account]
}

func TestBus(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed+1), func(t *testing.T) {
			b := newBook(true)
			r := Try(t, Plan[entry]{Topic: entries, Event: entryOf, Handler: b.book, Effects: b.effects, Seed: seed + 1})
			if !r.Clean() {
				t.Fatal(r)
			}
			if r.Published < 8*25 || r.Handled+r.DeadLettered != r.Published || r.DeadLettered < 2 {
				t.Errorf("%v", r)
			}
		})
	}
}

// TestSameSeed: the same seed gives the same trial.
func TestSameSeed(t *testing.T) {
	reports := make([]*Report, 2)
	for i := range reports {
		b := newBook(true)
		reports[i] = Try(t, Plan[entry]{Topic: entries, Event: entryOf, Handler: b.book, Seed: 7})
	}
	if first, second := strings.Join(reports[0].Schedule, "\n"), strings.Join(reports[1].Schedule, "\n"); first != second || first == "" {
		t.Errorf("two schedules of a seed:\n%s\n\n%s", first, second)
	}
}

// TestCarelessHandler: effects that double are found, with the history of why.
func TestCarelessHandler(t *testing.T) {
	b := newBook(false)
	r := Try(t, Plan[entry]{Topic: entries, Event: entryOf, Handler: b.book, Effects: b.effects})
	if r.Count(Duplicated) == 0 || !strings.Contains(r.String(), "took effect 2 times") || !strings.Contains(r.String(), "injected failure") {
		t.Errorf("%v", r)
	}
}

// TestLyingHandler: a handler that returns nil without effect is found.
func TestLyingHandler(t *testing.T) {
	b := newBook(true)
	handler := func(ctx context.Context, e entry) error {
		if e.N == 3 {
			return nil
		}
		return b.book(ctx, e)
	}
	r := Try(t, Plan[entry]{Topic: entries, Event: entryOf, Handler: handler, Effects: b.effects, Faults: []Fault{Rebalance()}})
	if r.Count(Lost) != 8 || len(r.Findings) != 8 {
		t.Errorf("%v", r)
	}
}

// TestFailingHandler: an event that the handler always refuses is a finding.
func TestFailingHandler(t *testing.T) {
	handler := func(_ context.Context, e entry) error {
		if e == entryOf(2, 4) {
			return errors.New("account 2 is closed")
		}
		return nil
	}
	r := Try(t, Plan[entry]{Topic: entries, Event: entryOf, Handler: handler, Faults: []Fault{}})
	if r.Count(DeadLettered) != 1 || len(r.Findings) != 1 || !strings.Contains(r.String(), "account 2 is closed") {
		t.Errorf("%v", r)
	}
}

func TestPlanRefused(t *testing.T) {
	good := Plan[entry]{Topic: entries, Event: entryOf, Handler: newBook(true).book, Keys: 2, PerKey: 2}
	for says, spoil := range map[string]func(*Plan[entry]){
		"Topic is missing":   func(p *Plan[entry]) { p.Topic = nil },
		"Event is missing":   func(p *Plan[entry]) { p.Event = nil },
		"Handler is missing": func(p *Plan[entry]) { p.Handler = nil },
		"negative":           func(p *Plan[entry]) { p.Keys = -1 },
		"different keys":     func(p *Plan[entry]) { p.Event = func(key, n int) entry { return entryOf(key+n, n) } },
		"the same key":       func(p *Plan[entry]) { p.Event = func(_, n int) entry { return entryOf(0, n) } },
	} {
		p := good
		spoil(&p)
		if err := p.validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want it to say %q", err, says)
		}
	}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
}
