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

// Levels of a concern, the worst first.
// They sort as text in this order, which settle relies on.
const (
	levelBad  = "bad"  // something is held up
	levelLook = "look" // it works, and somebody should look
)

// concern is one thing that holds the bus up, or may, in words.
// since is how long it has lasted, 0 where that is not known. Texts from outside were made
// visible when Text was put together; Error is as it came, and the template's to show.
type concern struct {
	Level string
	Text  string
	Error string // of the last attempt
	Link  string // to where it can be set free
	Going string // what the link says
	since time.Duration
}

// nowView is the page on what the bus does.
// Groups are those that members tell of. Others counts the partitions that move and those
// that are beyond maxWorst.
type nowView struct {
	State    string // in words, and of which only a change is worth saying
	Level    string
	Concerns []concern
	More     int
	Groups   []*groupState
	Outside  []outsideGroup // groups of the cluster that no member tells of
	Worst    []worstPartition
	Others   int // partitions
	Alone    bool
	Problem  string // of the cluster
}

// worstPartition is a partition that stands still or lags.
type worstPartition struct {
	Group string
	partitionState
}

// Bounds of the page: what is beyond is counted.
const (
	maxConcerns   = 25
	maxWorst      = 40
	stillAfter    = 10 * time.Second // an event that takes longer is worth a word
	stuckAfter    = time.Minute
	behindAfter   = 5 * time.Minute
	pausedPattern = "is paused by an operator"
)

// now makes the first page. It is drawn once a second for everyone who has it open, so it is
// made of the latest answers, for which members and cluster are asked once for all pages.
func (d *desk) now(ctx context.Context, _ *http.Request) (any, error) {
	s := d.survey(d.watch.look(ctx), time.Now())
	v := &nowView{Groups: s.Groups, Alone: len(s.Members) == 1 && d.config.Bus != nil && d.cluster == nil}
	all := memberConcerns(s.Members, d.config.Location)
	// A group that a member tells of is left out of what the cluster tells: the member's figures
	// are newer and say why something waits.
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
	v.settle(all)
	return v, nil
}

// settle sorts the concerns and says what they come to.
// It sorts before it cuts, so that what is left out is the least of it. The state counts
// everything.
func (v *nowView) settle(all []concern) {
	slices.SortStableFunc(all, func(x, y concern) int {
		// Within a level the oldest comes first: what came later may be an effect of it.
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

// memberConcerns says which members are silent, and which brokers nothing is
// published to.
// A silent member has one concern: what it said last may be untrue by now.
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

// concerns says what holds the group up, partition by partition.
// The order in which they are found is not that of the page: settle sorts.
func (g *groupState) concerns() (all []concern) {
	// Keys that hold up a partition have a line each. What is left of the number has one line
	// together, at the end.
	parked := g.Parked
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
		place := fmt.Sprintf("partition %d of %s stands still for %s", p.Partition, visible.Text(p.Topic), span(still))
		// The key is what an operator can act on. Without one there is only to wait, so no link.
		if k := p.Holding(); k != nil {
			c.Text, c.Error = place+": key "+keyText(k.Raw)+", "+waitsFor(k.State, k.Attempts, k.DueMs), k.Error
			parked--
		} else {
			c.Text = fmt.Sprintf("%s: offset %d is being handled, or waits for a free handler", place, p.Watermark)
			c.Link, c.Going = "", ""
		}
		all = append(all, c)
	}
	for _, s := range g.Subscriptions {
		name := visible.Text(s.Name)
		// A handler that ignores the end of its context can't be stopped: it keeps its place among
		// those that may run.
		if s.Stuck > 0 {
			all = append(all, concern{Level: levelBad, since: s.Longest, Text: fmt.Sprintf("%s of %s %s their timeout, the longest has run for %s", plural(s.Stuck, "handler"), name, ignore(s.Stuck), span(s.Longest))})
		}
		if len(s.Open) > 0 {
			all = append(all, concern{Level: levelBad, Text: fmt.Sprintf("%s: the circuit breaker is %s at %s", name, s.Breaker, strings.Join(s.Open, ", ")), Link: keysLink(g.Name, ""), Going: "keys"})
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
		all = append(all, concern{Level: levelLook, Text: fmt.Sprintf("%s of group %s %s, while the rest of their partitions goes on", plural(parked, "key"), visible.Text(g.Name), wait(parked)), Link: keysLink(g.Name, ""), Going: "keys"})
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

// waitsFor says what a parked key waits for.
// The states are those of eventbus.ParkedKey. One that is not known here comes from a member
// of a later version, and is shown as it is. due is in milliseconds.
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

// keysLink leads to the parked keys of a group.
func keysLink(group, topic string) string {
	q := url.Values{"group": {group}}
	if topic != "" {
		q.Set("topic", topic)
	}
	return "keys?" + q.Encode()
}
