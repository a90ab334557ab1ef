package health

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/eventbus-go/eventbus"
)

// ownCheck is a check of the program's own.
type ownCheck struct {
	name, description string
	tags              []string
	run               func(context.Context) error
	flight            flight[struct{}]

	mu     sync.Mutex
	failed bool // as it was when it was last asked
}

func (c *ownCheck) live() bool { return slices.Contains(c.tags, Live) }

func (c *ownCheck) ask(ctx context.Context) (struct{}, error) { return struct{}{}, c.run(ctx) }

// result is what the answer says of the check. The log has the cause.
func (c *ownCheck) result(err error, logger *slog.Logger) eventbus.HealthCheck {
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
