package health

import (
	"fmt"

	"github.com/eventbus-go/eventbus"
)

// report is an answer under construction, used by one goroutine.
type report struct {
	eventbus.Health
	// ready and live are the verdicts of two of the addresses. They start as true, and one failing
	// part makes them false.
	ready, live bool
}

// newReport returns an empty report, which is Healthy.
func newReport() *report {
	return &report{Health: eventbus.Health{Status: eventbus.Healthy, Checks: make(map[string]eventbus.HealthCheck)}, ready: true, live: true}
}

// add adds a check. If the name is taken, the check gets a number, so that neither is lost.
func (r *report) add(name string, c eventbus.HealthCheck) {
	free := name
	for n := 2; ; n++ {
		if _, taken := r.Checks[free]; !taken {
			break
		}
		free = fmt.Sprintf("%s (%d)", name, n)
	}
	r.Checks[free] = c
	r.worsen(c.Status)
}

// worsen makes the overall status at least as bad as that of a part.
func (r *report) worsen(s eventbus.HealthStatus) {
	if s == eventbus.Unhealthy || s == eventbus.Degraded && r.Status == eventbus.Healthy {
		r.Status = s
	}
}
