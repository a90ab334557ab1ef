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

// node is one event of a story, with all that is recorded of it.
// An event has one node, however often it was recorded: published, as a dead letter, brought
// back. Its texts are those of the first record that was read. seen has the places of Records.
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

// trace is one record of an event.
// It is a record of the log, not a trace of OpenTelemetry: that is Trace of a node.
type trace struct {
	Kind   string // published, dead letter or redelivered
	Topic  string
	Where  string
	At     time.Time
	After  string // since the event was published
	Text   string
	Error  string
	Link   string
	Groups []passing // how far groups are with it
	at     transport.Partition
	offset int64
}

// passing says where a group is with a record.
type passing struct{ Group, State string }

// add keeps a record of an event. Its memory is that of the log, so what is kept is
// copied.
func (s *search) add(e *wire.Event, r *transport.Record) {
	id := e.Source + "\x00" + e.ID
	if e.ID == "" {
		id = fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset) // no event
	}
	n := s.nodes[id]
	if n == nil {
		n = &node{
			ID: strings.Clone(e.ID), Type: strings.Clone(e.Type), Source: strings.Clone(e.Source), Correlation: strings.Clone(e.CorrelationID),
			Causation: strings.Clone(e.CausationID), Key: slices.Clone(r.Key), seen: make(map[transport.Position]bool),
		}
		// The W3C Trace Context has version-trace-parent-flags here. Anything else is not a link.
		if parts := strings.Split(e.TraceParent, "-"); len(parts) == 4 && len(parts[1]) == 32 {
			n.Trace = strings.Clone(parts[1])
		}
		s.nodes[strings.Clone(id)] = n
		s.kept += 2*(len(n.Source)+len(n.ID)) + len(n.Type) + len(n.Correlation) + len(n.Causation) + len(n.Key)
	}
	at := transport.Position{Partition: transport.Partition{Topic: strings.Clone(r.Topic), Partition: r.Partition}, Offset: r.Offset}
	if n.seen[at] {
		return // of the search before
	}
	// Only records that are new count towards storyFound: the second run finds all of the first
	// again.
	n.seen[at] = true
	s.found++
	t := trace{Kind: "published", Topic: at.Topic, Where: fmt.Sprintf("%s/%d@%d", at.Topic, at.Partition.Partition, at.Offset), At: r.Time, at: at.Partition, offset: at.Offset}
	switch {
	// Its headers say what a record is, since an event keeps its attributes on the way through
	// dead letters and back. A topic of that name may have others.
	case naming.IsRetry(r.Topic) || letter.CameBack(r):
		t.Kind = "redelivered"
		// Only the headers are needed, from which letter.Redelivered reads how often it came back.
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

// tree puts each event below its cause, and returns those without one, in the order in
// which they were written.
// It is called once, after the last run: it sorts and links the nodes in place.
func (s *search) tree() (roots []*node) {
	// A causation id names no source, so causes are looked up by id alone. Of two events with one
	// id either may be the cause.
	byID := make(map[string]*node, len(s.nodes))
	all := make([]*node, 0, len(s.nodes))
	for _, n := range s.nodes {
		// Partitions are read side by side, so records come in no order of time.
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
	// Nodes come out of a map: the id settles the order of those of one moment.
	slices.SortFunc(all, func(x, y *node) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.ID, y.ID)) })
	for _, n := range all {
		cause := byID[n.Causation]
		// A cause outside the window, or in a topic that was not read, leaves its effects as roots.
		if cause == nil || cause == n || below(n, cause, byID) {
			roots = append(roots, n)
			continue
		}
		cause.Children = append(cause.Children, n)
		n.Hop = span(n.At.Sub(cause.At))
	}
	return roots
}

// rank orders records of one moment.
func rank(kind string) int {
	return slices.Index([]string{"published", "dead letter", "redelivered"}, kind)
}

// below reports whether an event's chain of causes leads back to n: anyone may write
// causes, in a circle too.
func below(n, cause *node, byID map[string]*node) bool {
	// A chain that is longer than there are events runs in a circle that n is not part of. The
	// page could not draw that either: it counts as one.
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

// maxFollowed bounds the groups that are asked how far they are.
// Each is a request to its coordinator.
const maxFollowed = 20

// follow adds how far each group is with each record, and where traces lead.
func (d *desk) follow(ctx context.Context, s *search) {
	// Members know more than commits: which event is being tried, and which waits behind it.
	// So they are asked first, and commits tell of groups without a member here.
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
				// A commit is the next offset to be handled: all below it are done.
				case c.Offset > r.offset:
					r.Groups = append(r.Groups, passing{name, "done with it"})
				default:
					r.Groups = append(r.Groups, passing{name, "has not committed it"})
				}
			}
		}
	}
}

// passes says how far a group is with a record; empty if it does not read its partition
// here.
func (g *groupState) passes(at transport.Partition, offset int64, key []byte) string {
	for i := range g.Partitions {
		p := &g.Partitions[i]
		if p.Topic != at.Topic || p.Partition != at.Partition {
			continue
		}
		// Parked keys come before offsets: an event that waits lies between the watermark and Next,
		// where the offset alone can't say what became of it.
		for k := range p.Parked {
			if p.Parked[k].Offset == offset {
				return waitsFor(p.Parked[k].State, p.Parked[k].Attempts, p.Parked[k].DueMs)
			}
			if first := p.Parked[k].Offset; first < offset && offset < p.Next && key != nil && bytes.Equal(p.Parked[k].Raw, key) {
				return fmt.Sprintf("waits behind offset %d of its key", first)
			}
		}
		switch {
		// Everything below the watermark is finished; between it and Next some are.
		case offset < p.Watermark:
			return "done with it"
		case offset < p.Next:
			return "has it in hand, or is done with it"
		}
		return "has not read it"
	}
	return ""
}
