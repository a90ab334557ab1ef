package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// flight is a question that is asked once at a time, however many wait for the
// answer: probes that come faster than a stuck answer must not pile up.
type flight[T any] struct {
	mu      sync.Mutex
	running *answer[T]
}

type answer[T any] struct {
	done  chan struct{} // closed when value and err are there
	value T
	err   error
}

var errNoAnswer = errors.New("gave no answer")

// start asks, unless an answer is under way. The question's context ends after
// within, and not with the request that came first: others wait for it too.
func (f *flight[T]) start(ctx context.Context, within time.Duration, ask func(context.Context) (T, error)) *answer[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running != nil {
		return f.running
	}
	a := &answer[T]{done: make(chan struct{})}
	f.running = a
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	go func() {
		defer cancel()
		defer func() {
			if v := recover(); v != nil {
				a.err = fmt.Errorf("panicked: %v", v)
			}
			f.mu.Lock()
			f.running = nil
			f.mu.Unlock()
			close(a.done)
		}()
		a.value, a.err = ask(ctx)
	}()
	return a
}

// wait is the answer, or errNoAnswer when ctx ends first.
func (a *answer[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
	}
	select {
	case <-a.done: // both at once
		return a.value, a.err
	default:
		var none T
		return none, errNoAnswer
	}
}
