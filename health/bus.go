package health

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// liveWithin bounds how long a bus may ask its brokers if the question is only whether the bus
// itself is stuck: long enough to examine its groups, and well within the second that
// orchestrators wait.
const liveWithin = 300 * time.Millisecond

// bus is a Reporter and its running requests. The two kinds have different times, so a short
// request must not replace a long one.
type bus struct {
	reporter Reporter
	full     singleflight[eventbus.Health]
	live     singleflight[eventbus.Health]
}

// ask asks the reporter. Its error is always nil.
func (b *bus) ask(ctx context.Context) (eventbus.Health, error) { return b.reporter.Health(ctx), nil }

// addBus adds a bus's answer to the report. No answer in time means that the bus itself is stuck.
func (r *report) addBus(h eventbus.Health, err error) {
	if err != nil {
		r.add("bus", eventbus.HealthCheck{Status: eventbus.Unhealthy, Description: "Event bus", Error: err.Error()})
		r.ready, r.live = false, false
		return
	}
	for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
		r.add(name, h.Checks[name])
	}
	r.worsen(h.Status)
	r.ready = r.ready && h.Ready
}

// addLive adds whether a bus is stuck. The time is too short for slow brokers, so the
// checks of brokers are omitted.
func (r *report) addLive(h eventbus.Health, err error) {
	c := eventbus.HealthCheck{Status: eventbus.Healthy, Description: "Event bus liveness check"}
	switch {
	case err != nil:
		c.Status, c.Error = eventbus.Unhealthy, err.Error()
	case !h.Live:
		c.Status, c.Error = eventbus.Unhealthy, "stuck"
		var why []string
		for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
			if check := h.Checks[name]; check.Status == eventbus.Unhealthy {
				why = append(why, name+": "+check.Error)
			}
		}
		if len(why) > 0 {
			c.Error += ": " + strings.Join(why, "; ")
		}
	}
	r.live = r.live && c.Status == eventbus.Healthy
	r.add("bus", c)
}
