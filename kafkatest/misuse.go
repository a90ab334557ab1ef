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

// misuses are things that handlers did and may not do, in words for the test. The
// cluster's mu guards them.
type misuses struct {
	// texts has each once, however often an event is tried again.
	texts []string
	// reported is how many of texts a test was told of.
	reported int
}

// misused notes a misuse; the next wait of the test, or its end, reports it. A
// goroutine of the bus can't fail the test by itself: it may outlive the test.
func (c *Cluster) misused(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.mu.Lock()
	if !slices.Contains(c.misuses.texts, text) {
		c.misuses.texts = append(c.misuses.texts, text)
	}
	c.mu.Unlock()
	c.signal()
}

// reportMisuses fails the test with the misuses that no test was told of yet, and
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

// noteExit notes a handler that ends its goroutine. A deferred function of that
// goroutine calls it when the handler did not return; a panic it leaves alone,
// since the bus makes an error of it.
func (c *Cluster) noteExit(d *eventbus.Delivery) {
	if at, exits := exitPoint(); exits {
		c.misused("%s: a handler of group %s ended its goroutine on topic %s: use t.Error and return an error; FailNow, Fatal, Skip and runtime.Goexit are for the test's own goroutine",
			at, d.Group, d.Topic)
	}
}

// exitPoint reports whether the running goroutine is inside runtime.Goexit, and
// which line called that, or the function of package testing that did.
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
