package health

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/eventbus-go/eventbus"
)

// ownCheck is one of the program's own checks. All requests share it.
type ownCheck struct {
	name, description string
	tags              []string
	// run is the program's function. Its context has a deadline.
	run    func(context.Context) error
	flight singleflight[struct{}]

	// mu guards failed.
	mu sync.Mutex
	// failed is the last result, so that only changes are logged.
	failed bool
}

// live reports whether the check counts for /health/live.
func (c *ownCheck) live() bool { return slices.Contains(c.tags, Live) }

// ask runs the check, in the form required by singleflight.
func (c *ownCheck) ask(ctx context.Context) (struct{}, error) { return struct{}{}, c.run(ctx) }

// result returns what the answer shows about the check. Only the log has the cause, which may
// quote credentials.
func (c *ownCheck) result(err error, logger *slog.Logger) eventbus.HealthCheck {
	// Several requests may get answers at the same time; log each change once.
	c.mu.Lock()
	changed := c.failed != (err != nil)
	c.failed = err != nil
	c.mu.Unlock()
	switch {
	case changed && err != nil:
		logger.Warn("health check fails", "check", c.name, "error", err)
	case changed:
		logger.Info("health check passes again", "check", c.name)
	}
	result := eventbus.HealthCheck{Status: eventbus.Healthy, Description: c.description, Tags: c.tags}
	switch {
	case errors.Is(err, errNoAnswer), errors.Is(err, context.DeadlineExceeded):
		result.Status, result.Error = eventbus.Unhealthy, errNoAnswer.Error()
	case err != nil:
		result.Status, result.Error = eventbus.Unhealthy, "failed"
	}
	return result
}
