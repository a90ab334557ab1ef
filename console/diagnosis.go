package console

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/doctor"
)

// Finding is the result of one check of a doctor.
type Finding struct {
	Check   string // what was checked, such as "broker 1" or a topic
	Verdict string // ok, warn, fail, or unknown if it could not be checked
	Finding string
	Remedy  string // what to do; empty if all is well
}

// doctorView is the page of findings, the worst first. It is made for each request: nothing
// is examined unless somebody asks.
type doctorView struct {
	Findings []Finding
	Took     time.Duration
	At       time.Time
}

// An examination connects to every broker and asks about topics and groups, so it is
// bounded in time and in number.
const (
	doctorTime  = 20 * time.Second
	maxExamined = 50 // groups, and topics
)

// doctor makes the page of findings. A check that fails is a finding too, not an error of
// the page.
func (d *desk) doctor(ctx context.Context, _ *http.Request) (any, error) {
	// The doctor reads the newest records to compare clocks, so it takes a turn like a search.
	done, err := d.scan(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	v := &doctorView{At: time.Now().In(d.config.Location)}
	var found doctor.Findings
	if d.config.Bus != nil {
		ofBus(&found, d.config.Bus.Health(ctx))
	}
	// A member that has not been asked yet is neither silent nor seen, and gets no line.
	for _, m := range d.watch.look(ctx) {
		if m.Silent() {
			found.Add(m.Member, doctor.Bad, "see whether the process runs, and whether its admin handler is reached from here", "does not answer: %v", m.Err)
		} else if m.Seen != nil {
			found.Add(m.Member, doctor.Fine, "", "answers in %s", span(m.Took))
		}
	}
	if d.cluster != nil {
		d.cluster.examine(ctx, &found)
	}
	for _, f := range found.Folded() {
		v.Findings = append(v.Findings, Finding(f))
	}
	// The caller's checks come last and share the time limit. They may examine what the
	// console knows nothing of, such as a database.
	if d.config.Checks != nil {
		v.Findings = append(v.Findings, d.config.Checks(ctx)...)
	}
	// The sort is stable, so findings of one verdict keep the order of the checks. An unknown
	// verdict from Checks ranks as the worst, so that it is not overlooked.
	rank := map[string]int{doctor.Bad: 0, doctor.Warning: 1, doctor.Unknown: 2, doctor.Fine: 3}
	slices.SortStableFunc(v.Findings, func(x, y Finding) int { return cmp.Compare(rank[x.Verdict], rank[y.Verdict]) })
	v.Took = time.Since(v.At)
	return v, nil
}

// ofBus adds the health checks of a bus.
func ofBus(found *doctor.Findings, h eventbus.Health) {
	verdicts := map[eventbus.HealthStatus]string{eventbus.Healthy: doctor.Fine, eventbus.Degraded: doctor.Warning, eventbus.Unhealthy: doctor.Bad}
	for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
		c := h.Checks[name]
		// A status that is added later must not pass for a good one.
		found.Add(name, cmp.Or(verdicts[c.Status], doctor.Unknown), "", "%s", cmp.Or(c.Error, c.Description))
	}
}

// examine checks the brokers, the topics and the groups.
func (c *cluster) examine(ctx context.Context, found *doctor.Findings) {
	// The brokers come first: if they can't be reached, the rest fails for that reason.
	doctor.Brokers(ctx, found, c.transport)
	doctor.Rights(ctx, found, c.transport)
	infos, err := c.admin.Topics(ctx)
	if err != nil {
		found.Add("topics", doctor.Unknown, "", "%v", err)
		return
	}
	// there reuses the memory of infos, which is not needed afterwards.
	there := infos[:0]
	var names []string
	for i := range infos {
		if infos[i].Err == nil && c.meant(infos[i].Name) && len(names) < maxExamined {
			there, names = append(there, infos[i]), append(names, infos[i].Name)
		}
	}
	doctor.Replicas(ctx, found, c.transport, there, names)
	doctor.Clocks(ctx, found, c.transport, there, time.Now)
	// The overview has the groups of the environment already, in the order of their names.
	for i, g := range c.overview(ctx).groups {
		if i < maxExamined {
			doctor.GroupState(ctx, found, c.transport, g.Name)
		}
	}
}
