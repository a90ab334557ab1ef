package health

import (
	"context"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus"
)

// Reporter reports its health. *eventbus.Bus is one. It must be safe for concurrent use.
type Reporter interface {
	// Health must return soon after its context ends; a Reporter that does not is
	// itself reported as stuck.
	Health(context.Context) eventbus.Health
}

// Option changes a Handler.
type Option func(*handler)

// Live is the tag of checks that also count for /health/live: those that only a restart can fix.
const Live = "live"

// Check adds one of the program's own checks to /health and /health/ready. A nil error is Healthy;
// any other error, or no answer within the Timeout, is Unhealthy.
//
// The answer says that the check failed but not why, since errors of databases often quote
// credentials; the cause is logged when the state changes. check never runs twice at the same
// time: requests that come meanwhile share the result. It must return when its context ends.
func Check(name, description string, check func(context.Context) error, tags ...string) Option {
	if name == "" || check == nil {
		panic("health: Check needs a name and a function")
	}
	return func(h *handler) {
		h.checks = append(h.checks, &ownCheck{name: name, description: description, tags: tags, run: check})
	}
}

// Buses adds further buses to the answer, for a program that talks to several clusters. Give each a
// Config.Name, which becomes the name of its check.
func Buses(more ...Reporter) Option {
	return func(h *handler) {
		for _, r := range more {
			h.buses = append(h.buses, &bus{reporter: r})
		}
	}
}

// Timeout bounds every answer. Default 5 seconds.
func Timeout(d time.Duration) Option {
	if d <= 0 {
		panic("health: Timeout needs a positive duration")
	}
	return func(h *handler) { h.timeout = d }
}

// Logger sets where failures of the program's own checks are logged. Default slog.Default().
func Logger(logger *slog.Logger) Option { return func(h *handler) { h.logger = logger } }
