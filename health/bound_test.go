package health_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/health"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestSilentBroker has a bus whose brokers never answer: it waits for its context.
func TestSilentBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health.Handler(fake(func(ctx context.Context) eventbus.Health {
			<-ctx.Done()
			return eventbus.Health{Status: eventbus.Unhealthy, Checks: kafkaCheck(eventbus.Unhealthy, ctx.Err().Error()), Live: true}
		}))
		for path, c := range map[string]struct {
			code   int
			within time.Duration
		}{
			"/health/live":  {200, 500 * time.Millisecond}, // orchestrators give up after a second
			"/health/ready": {503, 5 * time.Second},
			"/health":       {503, 5 * time.Second},
		} {
			began := time.Now()
			if code, body := get(h, path); code != c.code || time.Since(began) > c.within {
				t.Errorf("%s: %d after %v: %s", path, code, time.Since(began), body)
			}
		}
	})
}

// TestDeadlockedBus has a bus that answers nobody: that is what live is for. However
// often it is asked, one question waits.
func TestDeadlockedBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var asked atomic.Int32
		h := health.Handler(fake(func(context.Context) eventbus.Health {
			asked.Add(1)
			<-release
			return well
		}), health.Timeout(2*time.Second))
		var probes sync.WaitGroup
		for range 10 {
			for _, path := range []string{"/health/live", "/health"} {
				probes.Go(func() {
					began := time.Now()
					code, body := get(h, path)
					if code != 503 || !strings.Contains(body, "gave no answer") || time.Since(began) != 2*time.Second {
						t.Errorf("%s: %d after %v: %s", path, code, time.Since(began), body)
					}
				})
			}
		}
		probes.Wait()
		if n := asked.Load(); n != 2 {
			t.Errorf("the bus was asked %d times, want once for live and once for the rest", n)
		}
		close(release)
		synctest.Wait()
		if code, body := get(h, "/health/live"); code != 200 {
			t.Errorf("after the deadlock: %d %s", code, body)
		}
	})
}

// TestOwnCheckHangs has a check that ignores its context beside a bus that is well.
func TestOwnCheckHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		h := health.Handler(says(well), quiet, health.Check("database", "", func(context.Context) error {
			<-release
			return nil
		}))
		began := time.Now()
		code, body := get(h, "/health")
		want := `{"status":"Unhealthy","checks":{"database":{"status":"Unhealthy","description":"","error":"gave no answer"},` + kafkaWell + `}}`
		if code != 503 || body != want || time.Since(began) != 5*time.Second {
			t.Errorf("%d after %v: %s", code, time.Since(began), body)
		}
	})
}

// TestClientGone has clients that leave before the answer: the check goes on, and
// the log says nothing of them.
func TestClientGone(t *testing.T) {
	var logged bytes.Buffer
	var problem atomic.Pointer[error]
	h := health.Handler(says(well), health.Logger(slog.New(slog.NewTextHandler(&logged, nil))),
		health.Check("database", "", func(ctx context.Context) error {
			if p := problem.Load(); p != nil {
				return *p
			}
			return ctx.Err()
		}))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	serve(gone, h)
	if logged.Len() > 0 {
		t.Errorf("logged %s", &logged)
	}
	wrong := errors.New("connection refused")
	problem.Store(&wrong)
	for range 3 {
		get(h, "/health")
	}
	problem.Store(nil)
	get(h, "/health")
	if text := logged.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, `check=database error="connection refused"`) || !strings.Contains(text, "passes again") {
		t.Errorf("logged, where two changes were to be told:\n%s", text)
	}
}

// TestBus serves the health of a real bus through an outage.
func TestBus(t *testing.T) {
	cluster := memory.New()
	bus, err := eventbus.New(cluster, eventbus.Config{Service: "sales-api", Environment: "Test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := health.Handler(bus)
	expect := func(when string, full, ready, live int) {
		t.Helper()
		for path, want := range map[string]int{"/health": full, "/health/ready": ready, "/health/live": live} {
			if code, body := get(h, path); code != want {
				t.Errorf("%s, %s: %d, want %d: %s", when, path, code, want, body)
			}
		}
	}
	expect("started", 200, 200, 200)
	if _, body := get(h, "/health"); body != `{"status":"Healthy","checks":{`+kafkaWell+`}}` {
		t.Error(body)
	}
	cluster.Disconnect()
	expect("disconnected", 503, 503, 200)
	cluster.Reconnect()
	expect("connected again", 200, 200, 200)
	if err := bus.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("closed", 503, 503, 200)
}
