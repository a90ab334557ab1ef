package health

import (
	"fmt"

	"github.com/eventbus-go/eventbus"
)

// report is an answer in the making.
type report struct {
	eventbus.Health
	ready, live bool
}

func newReport() *report {
	return &report{Health: eventbus.Health{Status: eventbus.Healthy, Checks: make(map[string]eventbus.HealthCheck)}, ready: true, live: true}
}

// add takes a check in. Of two with one name, the later gets a number.
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

// worsen makes the whole as bad as a part of it.
func (r *report) worsen(s eventbus.HealthStatus) {
	if s == eventbus.Unhealthy || s == eventbus.Degraded && r.Status == eventbus.Healthy {
		r.Status = s
	}
}
