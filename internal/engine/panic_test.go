package engine

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// A handler that ends its goroutine fails its record as a panic does, and nothing
// else: the key continues after its dead letter, other keys never wait, and a stop
// is clean.
func TestHandlerThatDoesNotReturn(t *testing.T) {
	for name, end := range map[string]func() error{
		"runtime.Goexit": func() error { runtime.Goexit(); return nil },
		"panic":          func() error { panic("broken") },
	} {
		for _, batch := range []int{1, 3} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					var handled atomic.Int64
					sub := &Subscription{
						Name: "s", Concurrency: 1, BatchSize: batch, Retry: resilience.Retry{Attempts: 3},
						Handle: func(_ context.Context, a *Attempt) error {
							for _, r := range a.Records {
								if strings.HasPrefix(string(r.Value), "a@0") {
									return end()
								}
							}
							handled.Add(int64(len(a.Records)))
							return nil
						},
					}
					var box letterBox
					s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: box.write})
					s.assign(0, "")
					s.fetch(0, "a", "a", "b", "c", "b")
					pass(time.Minute)
					if n := handled.Load(); n != 4 || len(box.letters) != 1 {
						t.Fatalf("%d of 4 handled, %d dead letters", n, len(box.letters))
					}
					if f := box.letters[0]; f.Attempts != 3 || len(f.Stack) == 0 {
						t.Errorf("%d attempts, stack of %d bytes", f.Attempts, len(f.Stack))
					}
					start := time.Now()
					s.drain()
					if took := time.Since(start); took > 0 || s.engine.Abandoned() != 0 {
						t.Errorf("drained in %v, %d abandoned", took, s.engine.Abandoned())
					}
					wantCommit(t, s, 5)
				})
			})
		}
	}
}

// A worker that was given up for ignoring its timeout may end its goroutine too.
func TestStuckHandlerEndsItsGoroutine(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		leave := make(chan struct{})
		sub := &Subscription{Name: "s", Concurrency: 1, Timeout: time.Second, Handle: func(_ context.Context, a *Attempt) error {
			if a.Records[0].Offset == 0 && a.Number == 1 {
				<-leave
				runtime.Goexit()
			}
			return nil
		}}
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		pass(5 * time.Second)
		close(leave)
		pass(time.Minute)
		if n := len(sub.workers) + len(sub.stuck); n != 1 {
			t.Errorf("%d workers on the books", n)
		}
		s.drain()
		wantCommit(t, s, 2)
	})
}

// PanicError says how a handler ended.
func TestPanicErrorText(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{{nil, "runtime.Goexit"}, {errors.New("broken"), ": broken"}} {
		if text := (&PanicError{Value: c.value}).Error(); !strings.Contains(text, c.want) {
			t.Errorf("%q does not say %q", text, c.want)
		}
	}
}
