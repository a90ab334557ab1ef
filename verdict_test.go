package eventbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/resilience"
)

// hostile is an error whose methods panic, like those of a nil pointer in an error.
type hostile struct{ text *string }

func (h *hostile) Error() string { return *h.text }
func (h *hostile) Unwrap() error { return errors.New(*h.text) }

// TestVerdicts: an error that instructs the bus takes effect only if it is the whole error.
func TestVerdicts(t *testing.T) {
	no := errors.New("no")
	published := &PublishBatchError{Errors: map[int]error{1: publishError("t", "1", no)}}
	marks := &BatchError{Errors: map[int]error{1: no}}
	for _, c := range []struct {
		name   string
		err    error
		kind   engine.Kind
		reason string
	}{
		{"an error", no, engine.Retry, letter.ReasonHandler},
		{"a failed publish", published, engine.Retry, letter.ReasonHandler},
		{"a failed publish, wrapped", fmt.Errorf("w: %w", published), engine.Retry, letter.ReasonHandler},
		{"a failed publish, joined", errors.Join(no, published), engine.Retry, letter.ReasonHandler},
		{"marks", marks, engine.Retry, letter.ReasonHandler},
		{"marks that are permanent", Permanent(marks), engine.Dead, letter.ReasonPermanent},
		{"permanent", fmt.Errorf("w: %w", Permanent(no)), engine.Dead, letter.ReasonPermanent},
		{"permanent joined alone", errors.Join(nil, Permanent(no)), engine.Dead, letter.ReasonPermanent},
		{"permanent beside a failed rollback", errors.Join(Permanent(no), no), engine.Retry, letter.ReasonHandler},
		{"the breaker", publishError("t", "1", ErrCircuitOpen), engine.Wait, letter.ReasonHandler},
		{"the breaker for all", &PublishBatchError{Errors: map[int]error{0: ErrCircuitOpen, 1: ErrCircuitOpen}}, engine.Wait, letter.ReasonHandler},
		{"the breaker for one of two", &PublishBatchError{Errors: map[int]error{0: ErrCircuitOpen, 1: no}}, engine.Retry, letter.ReasonHandler},
		{"after a while", RetryAfter(time.Second, no), engine.Retry, letter.ReasonHandler},
		{"a timeout", fmt.Errorf("w: %w", context.DeadlineExceeded), engine.Retry, letter.ReasonTimeout},
		{"a panic", &PanicError{Value: marks, text: "x"}, engine.Retry, letter.ReasonPanic},
		{"a nil *BatchError", (*BatchError)(nil), engine.Retry, letter.ReasonHandler},
		{"a nil *Error", (*Error)(nil), engine.Retry, letter.ReasonHandler},
		{"an error that panics", (*hostile)(nil), engine.Retry, letter.ReasonPanic},
		{"an error that panics, wrapped", &Error{Op: "publish", Err: (*hostile)(nil)}, engine.Retry, letter.ReasonPanic},
		{"a permanent error that panics", Permanent((*hostile)(nil)), engine.Retry, letter.ReasonPanic},
	} {
		e := newAttemptError(c.err, 1, single)
		if v := e.verdict; v.Kind != c.kind || v.Reason != c.reason || v.Each != nil {
			t.Errorf("%s: %+v, want kind %d for %s", c.name, v, c.kind, c.reason)
		}
		if errors.Unwrap(e) != nil {
			t.Errorf("%s: the user's error is kept", c.name)
		}
		if e.Error() == "" || e.class == "" {
			t.Errorf("%s: text %q, class %q", c.name, e.Error(), e.class)
		}
	}
	if newAttemptError(nil, 1, single) != nil {
		t.Error("no error is one")
	}
}

// TestVerdictsOnBatches: which events of a batch of four an error marks, and which of these for good.
func TestVerdictsOnBatches(t *testing.T) {
	no := errors.New("no")
	of := func(errs map[int]error) error { return &BatchError{Errors: errs} }
	for _, c := range []struct {
		name string
		err  error
		want string // failed, and dead with an exclamation mark; "all"
	}{
		{"one", of(map[int]error{1: no}), "1"},
		{"one for good", of(map[int]error{1: Permanent(no), 3: no}), "1! 3"},
		{"wrapped", fmt.Errorf("w: %w", of(map[int]error{2: no})), "2"},
		{"all of these for good", Permanent(of(map[int]error{1: no, 2: no})), "1! 2!"},
		{"for good, whatever is said within", Permanent(RetryAfter(time.Second, of(map[int]error{1: no}))), "1!"},
		{"later, whatever is said within", RetryAfter(time.Second, Permanent(of(map[int]error{1: Permanent(no)}))), "1"},
		{"joined with another", errors.Join(no, of(map[int]error{1: no})), "all"},
		{"no index of the batch", of(map[int]error{4: no, -1: no}), "all"},
		{"one index of the batch", of(map[int]error{4: no, 3: no}), "3"},
		{"nil errors", of(map[int]error{1: nil}), "all"},
		{"empty", of(nil), "all"},
		{"nil", (*BatchError)(nil), "all"},
		{"published", &PublishBatchError{Errors: map[int]error{1: no}}, "all"},
		{"an error", no, "all"},
		{"stopped", StoppedAt(1, no), "1 2 3"},
		{"stopped for good", StoppedAt(2, Permanent(no)), "2! 3"},
		{"stopped beyond", StoppedAt(9, no), "all"},
		{"stopped before", StoppedAt(-3, no), "0 1 2 3"},
		{"one that panics", of(map[int]error{1: (*hostile)(nil)}), "1"},
	} {
		e := newAttemptError(c.err, 4, batched)
		got := "all"
		if e.verdict.Each != nil {
			var failed []string
			for i := range 4 {
				if err := e.verdict.Each(i); err != nil {
					mark := fmt.Sprint(i)
					if judgeAttempt(err).Kind == engine.Dead {
						mark += "!"
					}
					failed = append(failed, mark)
				}
			}
			got = strings.Join(failed, " ")
		}
		if got != c.want {
			t.Errorf("%s: %s failed, want %s", c.name, got, c.want)
		}
	}
	if StoppedAt(1, nil) != nil {
		t.Error("stopped without an error")
	}
	if !slices.Contains(StoppedAt(1, no).(*BatchError).Unwrap(), no) {
		t.Error("the cause is lost")
	}
}

// TestBreakerVerdictsOnBatches: a batch of which something was handled shows that the dependency
// works, and one that fails because of its events shows nothing.
func TestBreakerVerdictsOnBatches(t *testing.T) {
	no := errors.New("no")
	of := func(errs map[int]error) error { return &BatchError{Errors: errs} }
	for _, c := range []struct {
		name string
		err  error
		n    int
		want resilience.Outcome
	}{
		{"one of two", of(map[int]error{1: no}), 2, resilience.Success},
		{"stopped behind the first", StoppedAt(1, no), 3, resilience.Success},
		{"both", of(map[int]error{0: no, 1: no}), 2, resilience.Failure},
		{"stopped at the first", StoppedAt(0, no), 2, resilience.Failure},
		{"one of them refused", of(map[int]error{0: Permanent(no), 1: no}), 2, resilience.Failure},
		{"both refused", of(map[int]error{0: Permanent(no), 1: Discard(no)}), 2, resilience.Ignored},
		{"all refused", Permanent(of(map[int]error{0: no, 1: no})), 2, resilience.Ignored},
		{"alone", of(map[int]error{0: no}), 1, resilience.Failure},
		{"alone and refused", of(map[int]error{0: Permanent(no)}), 1, resilience.Ignored},
	} {
		if got := newAttemptError(c.err, c.n, batched).verdict.Breaker; got != c.want {
			t.Errorf("%s: outcome %d, want %d", c.name, got, c.want)
		}
	}
}

// TestReceiptsOfALongHandler: successful receipts are dropped and failed ones kept, however much a
// handler publishes.
func TestReceiptsOfALongHandler(t *testing.T) {
	s := newScope(t.Context(), &Delivery{}, nil)
	no := errors.New("no")
	for i := range 100_000 {
		r := new(receipt)
		if s.addReceipt(r); i == 77 {
			r.fail(no)
		} else {
			r.fail(nil)
		}
	}
	if n := cap(s.receipts); n > 4*lateLeast {
		t.Errorf("room for %d receipts", n)
	}
	if err := s.settle(nil); err != no {
		t.Error(err)
	}
}

func TestInboxKeys(t *testing.T) {
	long := strings.Repeat("ä", 400)
	for _, c := range []struct {
		e    Envelope
		want string
	}{
		{Envelope{Source: "urn:momentum:sales-api", ID: "0192"}, "g urn:momentum:sales-api 0192"},
		{Envelope{Source: "/a b", ID: "x\x00y"}, "g %2Fa%20b x%00y"},
		{Envelope{Topic: "t", Partition: 3}, "g t 3@0"},
		{Envelope{Source: long, ID: "1"}, ""},
	} {
		got := inboxKey("g", &c.e)
		if c.want != "" && got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
		if len(got) > 512 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is not printable ASCII of at most 512 bytes", got)
		}
	}
	if inboxKey("g", &Envelope{Source: long, ID: "1"}) == inboxKey("g", &Envelope{Source: long, ID: "2"}) {
		t.Error("long keys collide")
	}
}
