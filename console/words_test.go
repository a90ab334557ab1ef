package console

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/redrive"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 ms", 52 * time.Millisecond: "52 ms", 40 * time.Second: "40 s", 4 * time.Minute: "4 min", 4*time.Minute + 7*time.Second: "4 min 7 s",
		12*time.Minute + 7*time.Second: "12 min", 125 * time.Minute: "2 h 5 min", 73 * time.Hour: "3 d 1 h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

// TestTexts: any text from outside is made visible and bounded.
func TestTexts(t *testing.T) {
	for in, want := range map[string]string{
		"c-1": "c-1", "": `""`, "a b": `"a b"`, "\x1b[31m": `"\x1b[31m"`, "\xff\xfe": "(2 bytes)",
	} {
		if got := keyText([]byte(in)); got != want {
			t.Errorf("key %q is shown as %s, want %s", in, got, want)
		}
	}
	if got := keyText(nil); got != "(no key)" {
		t.Errorf("no key is shown as %s", got)
	}
	if got := clip(5, "a\u202e\n日本語 and more"); got != `a\u2…` {
		t.Errorf("clipped: %s", got)
	}
	if got := lines("one\x1b\n\ttwo\n"); got != "one\\x1b\n    two" {
		t.Errorf("lines: %q", got)
	}
}

// TestReplayKeepsClippedTexts: a member's texts about a replay are kept in a bounded length.
func TestReplayKeepsClippedTexts(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	var r replays
	for _, err := range []error{nil, errors.New(long)} {
		row := new(replayRow)
		r.end(row, &replayReport{Failures: []string{long}, Error: long}, err)
		if len(row.Failures) != 1 || len(row.Failures[0]) > 4*maxShown || len(row.Error) > 4*maxShown || row.State != "failed" {
			t.Errorf("%s: %d and %d bytes are kept", row.State, len(row.Failures[0]), len(row.Error))
		}
	}
}

// TestConcerns: the first page names the group, tells an open breaker before the partitions
// that wait for it, and of other keys only what is true of those.
func TestConcerns(t *testing.T) {
	key := func(offset int64, state string) eventbus.ParkedKey {
		return eventbus.ParkedKey{Key: "k", Raw: []byte("k"), Offset: offset, State: state, Attempts: 2}
	}
	partition := func(n int32, still time.Duration, state string) partitionState {
		return partitionState{PartitionInspection: &eventbus.PartitionInspection{
			Topic: "orders", Partition: n, Watermark: 7, StalledMs: still.Milliseconds(), Parked: []eventbus.ParkedKey{key(7, state), key(9, state)},
		}}
	}
	g := &groupState{Name: "billing", Parked: 6, Partitions: []partitionState{partition(0, 2*time.Minute, "breaker open"), partition(1, 3*time.Minute, "breaker open"), partition(2, 4*time.Minute, "retry")},
		Subscriptions: []*subscriptionState{{Name: "orders Placed", Breaker: "open", Open: []string{"m"}}}}
	v := &nowView{}
	v.settle(g.concerns())
	var told []string
	for _, c := range v.Concerns {
		told = append(told, c.Text)
	}
	if want := []string{
		"partition 2 of orders stands still for 4 min in group billing: key k, attempt 2",
		"orders Placed of group billing: the circuit breaker is open at m",
		"partition 1 of orders stands still for 3 min in group billing: key k, waits for the circuit breaker",
		"partition 0 of orders stands still for 2 min in group billing: key k, waits for the circuit breaker",
		"3 keys of group billing wait and hold up nothing else",
	}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// TestStateText: letters are redriven, by that name in every state.
func TestStateText(t *testing.T) {
	for state, want := range map[string]string{"open": "open", "replayed": "redriven", "replayed or skipped": "redriven or skipped"} {
		if got := stateText(state); got != want {
			t.Errorf("%s is shown as %q, want %q", state, got, want)
		}
	}
}

// TestChosen: no job is said to be about more letters than it is.
func TestChosen(t *testing.T) {
	for want, o := range map[string]redrive.Order{
		"all letters":              {},
		"letters that are decided": {Action: redrive.Purge},
		"2 causes":                 {Filter: redrive.Filter{Fingerprints: []string{"a", "b"}}},
		"one letter":               {Filter: redrive.Filter{Ranges: []redrive.Range{redrive.At(1, 7)}}},
		"1 range":                  {Filter: redrive.Filter{Ranges: []redrive.Range{{Partition: 1, From: 7, To: 9}}}},
		"1 type, a time":           {Filter: redrive.Filter{Types: []string{"x"}, After: time.Unix(1, 0)}},
		"1 key, 1 reason":          {Filter: redrive.Filter{Keys: redrive.Keys{"k"}, Reasons: []string{"exhausted"}}},
	} {
		if got := (&jobRow{Job: redrive.Job{Order: o}}).Chosen(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
