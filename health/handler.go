package health

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// handler serves buses and checks. Its fields do not change once it serves.
type handler struct {
	buses  []*bus
	checks []*ownCheck
	// timeout bounds an answer.
	timeout time.Duration
	logger  *slog.Logger
}

// Handler returns a handler for /health, /health/ready and /health/live of a bus, for GET and HEAD.
// To serve it under another path, wrap it in http.StripPrefix. It is safe for concurrent use. It
// does not close the bus.
func Handler(of Reporter, options ...Option) http.Handler {
	h := &handler{buses: []*bus{{reporter: of}}, timeout: 5 * time.Second, logger: slog.Default()}
	for _, o := range options {
		o(h)
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ask func(context.Context) (*report, bool)
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/health":
		ask = h.health
	case "/health/ready":
		ask = h.ready
	case "/health/live":
		ask = h.live
	default:
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	// A client that goes away must not look like a check without an answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.timeout)
	defer cancel()
	report, well := ask(ctx)
	body, err := json.Marshal(report)
	if err != nil { // unreachable: a report holds strings
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	// An answer is valid only now, and is data for programs.
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if well {
		w.WriteHeader(http.StatusOK)
	} else {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// full asks everything. The requests end before the answer is due.
func (h *handler) full(ctx context.Context) *report {
	within := h.timeout * 3 / 4
	buses := make([]*answer[eventbus.Health], len(h.buses))
	for i, b := range h.buses {
		buses[i] = b.full.start(ctx, within, b.ask)
	}
	r := newReport()
	checks := h.startChecks(ctx, within, func(*ownCheck) bool { return true })
	for _, a := range buses {
		r.addBus(a.wait(ctx))
	}
	h.addChecks(ctx, r, checks)
	return r
}

// health returns the report of /health: a degraded service still works.
func (h *handler) health(ctx context.Context) (*report, bool) {
	r := h.full(ctx)
	return r, r.Status != eventbus.Unhealthy
}

// ready returns the report of /health/ready. Its status agrees with its code.
func (h *handler) ready(ctx context.Context) (*report, bool) {
	r := h.full(ctx)
	if !r.ready {
		r.worsen(eventbus.Unhealthy)
	}
	return r, r.ready
}

// live returns the report of /health/live, from checks with the tag Live and from what buses know
// without their brokers.
func (h *handler) live(ctx context.Context) (*report, bool) {
	buses := make([]*answer[eventbus.Health], len(h.buses))
	for i, b := range h.buses {
		buses[i] = b.live.start(ctx, min(liveWithin, h.timeout/2), b.ask)
	}
	r := newReport()
	checks := h.startChecks(ctx, h.timeout*3/4, (*ownCheck).live)
	for _, a := range buses {
		r.addLive(a.wait(ctx))
	}
	h.addChecks(ctx, r, checks)
	return r, r.live
}

// startedCheck is a check in progress.
type startedCheck struct {
	*ownCheck
	answer *answer[struct{}]
}

// startChecks starts the checks that which selects. They run concurrently, so that the slowest
// determines how long the answer takes.
func (h *handler) startChecks(ctx context.Context, within time.Duration, which func(*ownCheck) bool) []startedCheck {
	var started []startedCheck
	for _, c := range h.checks {
		if which(c) {
			started = append(started, startedCheck{c, c.flight.start(ctx, within, c.ask)})
		}
	}
	return started
}

// addChecks waits for the checks and adds their results, in the order of the options.
func (h *handler) addChecks(ctx context.Context, r *report, checks []startedCheck) {
	for _, c := range checks {
		_, err := c.answer.wait(ctx)
		r.add(c.name, c.result(err, h.logger))
		r.ready, r.live = r.ready && err == nil, r.live && err == nil
	}
}
