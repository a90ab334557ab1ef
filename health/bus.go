package health

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// liveWithin is how long a bus may ask its brokers when the question is only
// whether the bus itself is stuck: long enough to look at its groups, and well
// within the second that orchestrators wait.
const liveWithin = 300 * time.Millisecond

// bus is a Reporter that is asked.
type bus struct {
	reporter Reporter
	full     flight[eventbus.Health]
	live     flight[eventbus.Health]
}

func (b *bus) ask(ctx context.Context) (eventbus.Health, error) { return b.reporter.Health(ctx), nil }

// tell adds what a bus answered to the report.
func (r *report) tell(h eventbus.Health, err error) {
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

// tellLive adds whether a bus is stuck. Its checks were asked in a hurry, so what
// they say of the brokers is left out.
func (r *report) tellLive(h eventbus.Health, err error) {
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
