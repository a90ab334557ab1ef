package outbox

import (
	"context"
	"errors"
	"math"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/jackc/pgx/v5/pgxpool"
)

// waits returns how long each call of do takes.
func waits(n int, do func(i int)) (took []time.Duration) {
	for i := range n {
		began := time.Now()
		do(i)
		took = append(took, time.Since(began))
	}
	return took
}

// ms returns durations of so many milliseconds.
func ms(numbers ...int) (durations []time.Duration) {
	for _, n := range numbers {
		durations = append(durations, time.Duration(n)*time.Millisecond)
	}
	return durations
}

// TestPause: a relay that finds nothing waits a millisecond longer each time, up to
// PollInterval and a third of the lease, and not at all once it is woken or ends.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Relay{config: Config{PollInterval: 4 * time.Millisecond, Lease: time.Hour}, wake: make(chan struct{}, 1)}
		pause := func(i int) { r.pause(t.Context(), i+1) }
		if got, want := waits(6, pause), ms(1, 2, 3, 4, 4, 4); !slices.Equal(got, want) {
			t.Errorf("pauses of %v, want %v", got, want)
		}
		if got := waits(1, func(int) { r.pause(t.Context(), math.MaxInt32) }); got[0] != r.config.PollInterval {
			t.Errorf("a pause of %v after a long silence", got[0])
		}
		r.config.PollInterval, r.config.Lease = time.Hour, 3*time.Second
		if got := waits(1, func(int) { r.pause(t.Context(), math.MaxInt32) }); got[0] != time.Second {
			t.Errorf("a pause of %v with a lease of %v", got[0], r.config.Lease)
		}
		r.Wake()
		r.Wake()
		if got := waits(2, func(int) { r.pause(t.Context(), 500) }); got[0] != 0 || got[1] != 500*time.Millisecond {
			t.Errorf("pauses of %v after two wakes", got)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if got := waits(1, func(int) { r.pause(ended, 500) }); got[0] != 0 {
			t.Errorf("a pause of %v at the end", got[0])
		}
	})
}

// TestFailuresInARow: the wait after a failure doubles up to 5 s, and begins again after
// something has worked for a time.
func TestFailuresInARow(t *testing.T) {
	var f failures
	for i, want := range ms(100, 200, 400, 800, 1600, 3200, 5000, 5000) {
		if got := f.next(steady); got != want {
			t.Errorf("%v after %d failures, want %v", got, i+1, want)
		}
	}
	for range 100 {
		if got := f.next(0); got != 5*time.Second {
			t.Fatalf("%v after many failures", got)
		}
	}
	if first, second := f.next(steady+1), f.next(0); first != 100*time.Millisecond || second != 200*time.Millisecond {
		t.Errorf("%v and %v after a time without failures", first, second)
	}
}

// unreachable returns a pool whose server refuses connections, after calling tried.
func unreachable(t *testing.T, tried func()) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig("postgres://shop@127.0.0.1:1/shop?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 4
	config.ConnConfig.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		tried()
		return nil, errors.New("connection refused")
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// TestRunBacksOff: Run looks for an unreachable database less and less often, but every
// 5 s, and returns at once when it ends.
func TestRunBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Time
		pool := unreachable(t, func() { tries = append(tries, time.Now()) })
		r, err := NewRelay(kafkatest.NewMemory(t).Bus(t), pool, Config{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		const long = 2 * time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), long)
		defer cancel()
		began := time.Now()
		if err := r.Run(ctx); err != nil || time.Since(began) != long {
			t.Errorf("Run returned %v after %v", err, time.Since(began))
		}
		var f failures
		for i, at := range tries[1:] {
			if want := f.next(0); at.Sub(tries[i]) != want {
				t.Errorf("try %d came %v after the last, want %v", i+2, at.Sub(tries[i]), want)
			}
		}
		if least := int(long / (5 * time.Second)); len(tries) < least {
			t.Errorf("%d tries in %v", len(tries), long)
		}
	})
}
