package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// singleflight makes a request once at a time, however many callers wait for the answer: probes
// that come faster than a slow answer must not pile up.
type singleflight[T any] struct {
	mu      sync.Mutex
	running *answer[T]
}

// answer is one answer, shared by all who wait for it.
type answer[T any] struct {
	// done is closed when value and err are set.
	done  chan struct{}
	value T
	err   error
}

// errNoAnswer says that the time ended before the answer came, errNoReturn that the
// question ended its goroutine.
var (
	errNoAnswer = errors.New("gave no answer")
	errNoReturn = errors.New("ended its goroutine")
)

// start makes the request unless it is running, and returns the answer to wait for. The request's
// context ends after within, not with the first caller's, since others wait too. ask runs on its
// own goroutine, which may outlive the handler if it ignores its context; in that case no other is
// started.
func (f *singleflight[T]) start(ctx context.Context, within time.Duration, ask func(context.Context) (T, error)) *answer[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running != nil {
		return f.running
	}
	a := &answer[T]{done: make(chan struct{}), err: errNoReturn}
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

// wait returns the answer, or errNoAnswer if ctx ends first.
func (a *answer[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
	}
	select {
	// Both may be ready: prefer the answer.
	case <-a.done:
		return a.value, a.err
	default:
		var none T
		return none, errNoAnswer
	}
}
