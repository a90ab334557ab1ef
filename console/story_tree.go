package console

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// node is one event of a story. An event has one node, however often it was recorded:
// published, as a dead letter, redelivered. Its texts are those of the first record that was
// read. seen has the places of Records.
type node struct {
	ID, Type, Source, Correlation, Causation string
	Trace                                    string // the id of the trace that it was created in
	TraceURL                                 string
	Key                                      []byte
	At                                       time.Time // when it was written first
	Hop                                      string    // how long after its cause
	Records                                  []trace   // in the order in which they were written
	Children                                 []*node
	seen                                     map[transport.Position]bool
}

// trace is one record of an event in the log. It is not an OpenTelemetry trace: that is
// node.Trace.
type trace struct {
	Kind   string // published, dead letter or redelivered
	Topic  string
	Where  string
	At     time.Time
	After  string // time since the event was published
	Text   string
	Error  string
	Link   string
	Groups []passing // progress of the groups
	at     transport.Partition
	offset int64
}

// passing is the progress of a group with a record.
type passing struct{ Group, State string }

// add keeps a record of an event. The memory of e and r belongs to the scan, so what is
// kept is copied.
func (s *search) add(e *wire.Event, r *transport.Record) {
	id := e.Source + "\x00" + e.ID
	if e.ID == "" {
		id = fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset) // not an event
	}
	n := s.nodes[id]
	if n == nil {
		n = &node{
			ID: strings.Clone(e.ID), Type: strings.Clone(e.Type), Source: strings.Clone(e.Source), Correlation: strings.Clone(e.CorrelationID),
			Causation: strings.Clone(e.CausationID), Key: slices.Clone(r.Key), seen: make(map[transport.Position]bool),
		}
		// W3C Trace Context has version-trace-parent-flags here. Anything else gets no link.
		if parts := strings.Split(e.TraceParent, "-"); len(parts) == 4 && len(parts[1]) == 32 {
			n.Trace = strings.Clone(parts[1])
		}
		s.nodes[strings.Clone(id)] = n
		s.kept += 2*(len(n.Source)+len(n.ID)) + len(n.Type) + len(n.Correlation) + len(n.Causation) + len(n.Key)
	}
	at := transport.Position{Partition: transport.Partition{Topic: strings.Clone(r.Topic), Partition: r.Partition}, Offset: r.Offset}
	if n.seen[at] {
		return // found by the first run
	}
	// Only new records count towards storyFound: the second run finds all of the first ones
	// again.
	n.seen[at] = true
	s.found++
	t := trace{Kind: "published", Topic: at.Topic, Where: fmt.Sprintf("%s/%d@%d", at.Topic, at.Partition.Partition, at.Offset), At: r.Time, at: at.Partition, offset: at.Offset}
	switch {
	// The headers say what a record is, since an event keeps its attributes as a dead letter
	// and when it is redelivered. A topic with such a name may hold other records too.
	case naming.IsRetry(r.Topic) || letter.CameBack(r):
		t.Kind = "redelivered"
		// letter.Redelivered needs only the headers to read how often the event came back.
		var redelivered wire.Event
		redelivered.Headers = r.Headers
		letter.Redelivered(&redelivered)
		t.Text = fmt.Sprintf("brought back to its group, time %d", redelivered.Redeliveries)
	case letter.IsLetter(r):
		if l, err := letter.Read(r); err == nil {
			t.Kind = "dead letter"
			t.Text = fmt.Sprintf("group %s gave up after %s (%s)", clip(maxShown, l.Group), plural(l.Attempts, "attempt"), clip(maxShown, l.Reason))
			t.Error = l.Error
			s.kept += len(t.Error)
			t.Link = "letter?" + url.Values{"topic": {t.Topic}, "partition": {strconv.Itoa(int(at.Partition.Partition))}, "offset": {strconv.FormatInt(at.Offset, 10)}}.Encode()
		}
	}
	n.Records = append(n.Records, t)
}

// tree puts each event below its cause, and returns the events without one, in the order in
// which they were written. It is called once, after the last run, and sorts and links the
// nodes in place.
func (s *search) tree() (roots []*node) {
	// A causation id names no source, so causes are looked up by id alone. Of two events with
	// the same id, either may be the cause.
	byID := make(map[string]*node, len(s.nodes))
	all := make([]*node, 0, len(s.nodes))
	for _, n := range s.nodes {
		// Partitions are read concurrently, so records come in no particular order.
		slices.SortStableFunc(n.Records, func(x, y trace) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(rank(x.Kind), rank(y.Kind))) })
		n.At = n.Records[0].At
		for i := range n.Records[1:] {
			n.Records[i+1].After = span(n.Records[i+1].At.Sub(n.At))
		}
		all = append(all, n)
		if n.ID != "" {
			byID[n.ID] = n
		}
	}
	// Nodes come out of a map: the id orders those of the same time.
	slices.SortFunc(all, func(x, y *node) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.ID, y.ID)) })
	for _, n := range all {
		cause := byID[n.Causation]
		// If the cause is outside the window, or in a topic that was not read, its effects are roots.
		if cause == nil || cause == n || below(n, cause, byID) {
			roots = append(roots, n)
			continue
		}
		cause.Children = append(cause.Children, n)
		n.Hop = span(n.At.Sub(cause.At))
	}
	return roots
}

// rank orders records of the same time.
func rank(kind string) int {
	return slices.Index([]string{"published", "dead letter", "redelivered"}, kind)
}

// below reports whether an event's chain of causes leads back to n. Anyone may write
// causes, so they may form a circle.
func below(n, cause *node, byID map[string]*node) bool {
	// A chain longer than the number of events is in a circle that n is not part of. The page
	// could not draw that either, so it counts as one.
	for range len(byID) {
		if cause == nil {
			return false
		}
		if cause == n {
			return true
		}
		cause = byID[cause.Causation]
	}
	return true
}

// maxFollowed bounds the groups whose commits are requested, each from its coordinator.
const maxFollowed = 20

// follow adds the progress of each group with each record, and links to traces.
func (d *desk) follow(ctx context.Context, s *search) {
	// Members know more than commits do: which event is being tried, and which waits behind it.
	// So they are preferred, and commits are used for groups without a member here.
	survey := d.survey(d.watch.look(ctx), s.now)
	commits := make(map[string]map[transport.Partition]transport.Commit)
	for i, g := range d.cluster.overview(ctx).groups {
		if i == maxFollowed {
			break
		}
		if all, err := d.cluster.admin.Committed(ctx, g.Name); err == nil {
			commits[g.Name] = all
		}
	}
	for _, n := range s.nodes {
		if n.Trace != "" && d.config.TraceURL != "" {
			n.TraceURL = strings.ReplaceAll(d.config.TraceURL, "{trace}", url.PathEscape(n.Trace))
		}
		for i := range n.Records {
			r := &n.Records[i]
			told := make(map[string]bool)
			for _, g := range survey.Groups {
				if state := g.passes(r.at, r.offset, n.Key); state != "" {
					told[g.Name] = true
					r.Groups = append(r.Groups, passing{g.Name, state})
				}
			}
			for _, name := range slices.Sorted(maps.Keys(commits)) {
				c, has := commits[name][r.at]
				switch {
				case told[name] || !has:
				// A commit is the next offset to be handled: everything below it is done.
				case c.Offset > r.offset:
					r.Groups = append(r.Groups, passing{name, "done with it"})
				default:
					r.Groups = append(r.Groups, passing{name, "has not committed it"})
				}
			}
		}
	}
}

// passes describes a group's progress with a record. It returns "" if no member here reads
// the partition.
func (g *groupState) passes(at transport.Partition, offset int64, key []byte) string {
	for i := range g.Partitions {
		p := &g.Partitions[i]
		if p.Topic != at.Topic || p.Partition != at.Partition {
			continue
		}
		// Parked keys are checked before offsets: a parked event lies between the watermark and
		// Next, where the offset alone does not say whether it is done.
		for k := range p.Parked {
			if p.Parked[k].Offset == offset {
				return waitsFor(p.Parked[k].State, p.Parked[k].Attempts, p.Parked[k].DueMs)
			}
			if first := p.Parked[k].Offset; first < offset && offset < p.Next && key != nil && bytes.Equal(p.Parked[k].Raw, key) {
				return fmt.Sprintf("waits behind offset %d of its key", first)
			}
		}
		switch {
		// Everything below the watermark is finished; between it and Next, some events are.
		case offset < p.Watermark:
			return "done with it"
		case offset < p.Next:
			return "has it in hand, or is done with it"
		}
		return "has not read it"
	}
	return ""
}
