package kafkatest

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
)

// misuses are descriptions of what handlers did and must not do. The cluster's mu
// guards them.
type misuses struct {
	// texts has each misuse once, even if an event is retried.
	texts []string
	// reported is how many of texts have been reported to a test.
	reported int
}

// misused notes a misuse. The test's next wait, or its end, reports it: a goroutine of
// the bus can't fail the test itself, since it may outlive the test.
func (c *Cluster) misused(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.mu.Lock()
	if !slices.Contains(c.misuses.texts, text) {
		c.misuses.texts = append(c.misuses.texts, text)
	}
	c.mu.Unlock()
	c.signal()
}

// reportMisuses fails the test with the misuses that have not been reported yet, and
// reports whether there were any.
func (c *Cluster) reportMisuses(t testing.TB) bool {
	t.Helper()
	c.mu.Lock()
	news := c.misuses.texts[c.misuses.reported:]
	c.misuses.reported = len(c.misuses.texts)
	c.mu.Unlock()
	for _, text := range news {
		t.Errorf("kafkatest: %s", text)
	}
	return len(news) > 0
}

// noteExit notes a handler that ends its goroutine. A deferred function calls it if
// the handler did not return. It ignores panics, which the bus turns into errors.
func (c *Cluster) noteExit(d *eventbus.Delivery) {
	if at, exits := exitPoint(); exits {
		c.misused("%s: a handler of group %s ended its goroutine on topic %s: use t.Error and return an error; FailNow, Fatal, Skip and runtime.Goexit are for the test's own goroutine",
			at, d.Group, d.Topic)
	}
}

// exitPoint reports whether the running goroutine is inside runtime.Goexit, and
// returns the line outside package testing that led to it.
func exitPoint() (at string, exits bool) {
	// The stack of a deferred call reaches down to the function that ended the
	// goroutine.
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		switch inside := strings.HasPrefix(frame.Function, "testing."); {
		case frame.Function == "runtime.Goexit":
			exits = true
		case exits && !inside:
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line), true
		}
	}
	return "", exits
}
