package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/visible"
)

// Levels of a concern. Sorted as text, the worst comes first, which settle relies on.
const (
	levelBad  = "bad"  // something is held up
	levelLook = "look" // it works, and somebody should look
)

// concern describes in words one thing that holds up the bus, or may. since is how long it
// has lasted, or 0 if that is unknown. Text is made visible already; Error is as it came,
// and the template makes it visible.
type concern struct {
	Level string
	Text  string
	Error string // of the last attempt
	Link  string // to the page where it can be resolved
	Going string // text of the link
	since time.Duration
}

// nowView is the first page. Groups are those that members report. Others counts the
// partitions that keep up, and those beyond maxWorst.
type nowView struct {
	State    string // in words; screen readers announce its changes
	Level    string
	Concerns []concern
	More     int
	Groups   []*groupState
	Outside  []outsideGroup // groups of the cluster that no member reports
	Worst    []worstPartition
	Others   int // partitions
	Alone    bool
	Problem  string // of the cluster
}

// worstPartition is a partition that is stuck or lags.
type worstPartition struct {
	Group string
	partitionState
}

// Bounds of the page, and the ages from which it reports things.
const (
	maxConcerns   = 25
	maxWorst      = 40
	stillAfter    = 10 * time.Second // of a watermark, to be reported
	stuckAfter    = time.Minute
	behindAfter   = 5 * time.Minute
	pausedPattern = "is paused by an operator"
)

// now makes the first page. It is drawn once a second for everyone who has it open, so it
// uses the latest answers, which are shared by all pages.
func (d *desk) now(ctx context.Context, _ *http.Request) (any, error) {
	s := d.survey(d.watch.look(ctx), time.Now())
	v := &nowView{Groups: s.Groups, Alone: len(s.Members) == 1 && d.config.Bus != nil && d.cluster == nil}
	all := memberConcerns(s.Members, d.config.Location)
	// If a member reports a group, the cluster's view of it is left out: the member's figures
	// are newer, and say why something waits.
	told := make(map[string]bool)
	for _, g := range s.Groups {
		told[g.Name] = true
		all = append(all, g.concerns()...)
		for _, p := range g.Partitions {
			if p.StalledMs > stillAfter.Milliseconds() || p.Lag > 0 {
				v.Worst = append(v.Worst, worstPartition{g.Name, p})
			} else {
				v.Others++
			}
		}
	}
	if d.cluster != nil {
		seen := d.cluster.overview(ctx)
		v.Problem = seen.problem
		for _, g := range seen.groups {
			if !told[g.Name] {
				v.Outside = append(v.Outside, g)
				all = append(all, g.concerns()...)
			}
		}
		all = append(all, seen.letterConcerns()...)
	}
	v.settle(append(all, d.outboxConcerns(ctx)...))
	return v, nil
}

// settle sorts the concerns and sums them up. It sorts before it cuts, so that the least
// important are left out. The state counts all of them.
func (v *nowView) settle(all []concern) {
	slices.SortStableFunc(all, func(x, y concern) int {
		// Within a level the oldest comes first: later ones may be its effects.
		return cmp.Or(cmp.Compare(x.Level, y.Level), cmp.Compare(y.since, x.since))
	})
	bad := 0
	for _, c := range all {
		if c.Level == levelBad {
			bad++
		}
	}
	switch {
	case bad > 0 && len(all) > bad:
		v.Level, v.State = levelBad, plural(bad, "thing")+" "+hold(bad)+" the bus up, and "+plural(len(all)-bad, "more thing")+" should be looked at"
	case bad > 0:
		v.Level, v.State = levelBad, plural(bad, "thing")+" "+hold(bad)+" the bus up"
	case len(all) > 0:
		v.Level, v.State = levelLook, "Nothing stands still; "+plural(len(all), "thing")+" should be looked at"
	default:
		v.State = "Everything moves"
	}
	v.More = max(len(all)-maxConcerns, 0)
	v.Concerns = all[:min(len(all), maxConcerns)]
	slices.SortStableFunc(v.Worst, func(x, y worstPartition) int {
		return cmp.Or(cmp.Compare(y.StalledMs, x.StalledMs), cmp.Compare(y.Lag, x.Lag))
	})
	v.Others += max(len(v.Worst)-maxWorst, 0)
	v.Worst = v.Worst[:min(len(v.Worst), maxWorst)]
}

func hold(n int) string {
	if n == 1 {
		return "holds"
	}
	return "hold"
}

// memberConcerns reports silent members, and brokers to which nothing is published. A
// silent member has only one concern, since its last answer may no longer be true.
func memberConcerns(members []sighting, zone *time.Location) (all []concern) {
	for i := range members {
		m := &members[i]
		if m.Silent() {
			c := concern{Level: levelBad, Text: m.Member + " has not been heard", Error: m.Err.Error(), Link: "members", Going: "members"}
			if !m.Heard.IsZero() {
				c.since = time.Since(m.Heard)
				c.Text = fmt.Sprintf("%s was last heard %s ago, at %s", m.Member, span(c.since), m.Heard.In(zone).Format("15:04:05 MST"))
			}
			all = append(all, c)
			continue
		}
		if m.Seen == nil {
			all = append(all, concern{Level: levelLook, Text: m.Member + " is being asked", Link: "members", Going: "members"})
			continue
		}
		if open := m.Seen.OpenBrokers; len(open) > 0 {
			var names []string
			for _, id := range open {
				names = append(names, strconv.Itoa(int(id)))
			}
			all = append(all, concern{Level: levelBad, Text: fmt.Sprintf("%s publishes nothing to broker %s: its circuit breaker is open", m.Member, strings.Join(names, ", ")), Link: "doctor", Going: "doctor"})
		}
		for k := range m.Seen.Groups {
			g := &m.Seen.Groups[k]
			if !g.Joined || !g.Alive {
				all = append(all, concern{Level: levelBad, Text: fmt.Sprintf("%s is not in group %s: %s", m.Member, visible.Text(g.Name), visible.Text(g.State)), Error: g.Error, Link: "doctor", Going: "doctor"})
			}
		}
	}
	return all
}

// concerns reports what holds up the group, partition by partition, in no order: settle
// sorts.
func (g *groupState) concerns() (all []concern) {
	// Keys that hold up a partition get a line each. The remaining ones share a line at the
	// end.
	parked := g.Parked
	var broken time.Duration // how long the oldest partition has waited for a breaker
	for i := range g.Partitions {
		p := &g.Partitions[i]
		still := time.Duration(p.StalledMs) * time.Millisecond
		if still < stillAfter {
			continue
		}
		c := concern{Level: levelLook, since: still, Link: keysLink(g.Name, p.Topic), Going: "keys"}
		if still >= stuckAfter {
			c.Level = levelBad
		}
		place := fmt.Sprintf("partition %d of %s stands still for %s in group %s", p.Partition, visible.Text(p.Topic), span(still), visible.Text(g.Name))
		// The key is what an operator can act on. Without one there is nothing to do but wait, and
		// no link.
		if k := p.Holding(); k != nil {
			c.Text, c.Error = place+": key "+keyText(k.Raw)+", "+waitsFor(k.State, k.Attempts, k.DueMs), k.Error
			parked--
			if k.State == "breaker open" {
				broken = max(broken, still)
			}
		} else {
			c.Text = fmt.Sprintf("%s: offset %d is being handled, or waits for a free handler", place, p.Watermark)
			c.Link, c.Going = "", ""
		}
		all = append(all, c)
	}
	for _, s := range g.Subscriptions {
		name := visible.Text(s.Name)
		// A handler that ignores its context can't be stopped, and occupies one of the handlers
		// that may run at once.
		if s.Stuck > 0 {
			all = append(all, concern{Level: levelBad, since: s.Longest, Text: fmt.Sprintf("%s of %s %s their timeout, the longest has run for %s", plural(s.Stuck, "handler"), name, ignore(s.Stuck), span(s.Longest))})
		}
		if len(s.Open) > 0 {
			// It comes before the partitions that wait for it, which are its effects.
			all = append(all, concern{Level: levelBad, since: broken + 1, Text: fmt.Sprintf("%s of group %s: the circuit breaker is %s at %s", name, visible.Text(g.Name), s.Breaker, strings.Join(s.Open, ", ")), Link: keysLink(g.Name, ""), Going: "keys"})
		}
		if len(s.Paused) > 0 {
			all = append(all, concern{Level: levelLook, Text: fmt.Sprintf("%s %s at %s", name, pausedPattern, strings.Join(s.Paused, ", "))})
		}
	}
	for _, h := range g.Held {
		c := concern{Level: levelLook, since: time.Duration(h.WaitingMs) * time.Millisecond, Link: keysLink(g.Name, h.Topic), Going: "keys"}
		c.Text = fmt.Sprintf("%s of %s wait for a member that handles type %s, for %s", plural(h.Events, "event"), visible.Text(h.Topic), clip(maxShown, h.Type), ms(h.WaitingMs))
		all = append(all, c)
	}
	if parked > 0 {
		all = append(all, concern{Level: levelLook, Text: fmt.Sprintf("%s of group %s %s and %s up nothing else", plural(parked, "key"), visible.Text(g.Name), wait(parked), hold(int(parked))), Link: keysLink(g.Name, ""), Going: "keys"})
	}
	if g.Behind >= behindAfter {
		all = append(all, concern{Level: levelLook, since: g.Behind, Text: fmt.Sprintf("group %s is %s behind", visible.Text(g.Name), span(g.Behind))})
	}
	return all
}

func ignore(n int) string {
	if n == 1 {
		return "ignores"
	}
	return "ignore"
}

func wait(n int64) string {
	if n == 1 {
		return "waits"
	}
	return "wait"
}

// waitsFor says what a parked key waits for, and for how many milliseconds more. The states
// are those of eventbus.ParkedKey. An unknown one comes from a member of a later version,
// and is shown as it is.
func waitsFor(state string, attempts int, due int64) string {
	text := map[string]string{
		"retry":                "attempt " + strconv.Itoa(attempts),
		"breaker open":         "waits for the circuit breaker",
		"awaiting dead letter": "its dead letter can't be written",
		"held":                 "its type is not handled here",
	}[state]
	if text == "" {
		text = visible.Text(state)
	}
	if due > 0 {
		text += ", next in " + ms(due)
	}
	return text
}

// keysLink returns the address of the list of a group's parked keys.
func keysLink(group, topic string) string {
	q := url.Values{"group": {group}}
	if topic != "" {
		q.Set("topic", topic)
	}
	return "keys?" + q.Encode()
}
