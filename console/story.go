package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/foreign"
	"github.com/eventbus-go/eventbus/internal/mask"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// Bounds of a search. The page says if one was reached.
const (
	storyTime   = 20 * time.Second
	storyTopics = 500
	storyFound  = 500 // records
)

// windows are the lengths of time that a search can cover. A search reads all partitions
// from its start to its end, so the user chooses how much that is. There is no unlimited
// window: retention may be years.
var windows = []struct {
	Name string
	Long time.Duration
}{{"15 min", 15 * time.Minute}, {"1 h", time.Hour}, {"6 h", 6 * time.Hour}, {"24 h", 24 * time.Hour}, {"7 d", 7 * 24 * time.Hour}}

// storyView is the page on what happened to an event, a key or a flow. The first fields are
// the form as it was sent, so that it comes back filled in. Those from Searched on are set
// only after a search.
type storyView struct {
	By, What, Within, Until string
	Windows                 []string
	Raw                     string // the key in Base64, if a link gave it

	Searched bool
	From, To time.Time
	Looked   int64 // records
	Topics   int
	Cut      string // why the search is incomplete
	Roots    []*node
	Events   int
}

// question is what a search looks for. Keys are compared as bytes, since they need not be
// text. The time is [from, to).
type question struct {
	by       string // id, key or correlation
	text     string
	key      []byte
	from, to time.Time
}

// matches reports whether an event is part of the answer. An id also matches the events
// that the event caused directly. A correlation also matches an event of that id, with
// which the flow may have begun.
func (q *question) matches(e *wire.Event) bool {
	switch q.by {
	case "key":
		return e.Key != nil && bytes.Equal(e.Key, q.key)
	case "id":
		return e.ID == q.text || e.CausationID == q.text
	}
	return e.CorrelationID == q.text || e.ID == q.text
}

// readQuestion reads the form. It returns nil if the form is empty.
func (d *desk) readQuestion(f url.Values, v *storyView, now time.Time) (*question, error) {
	// The view is filled first, so that a refused form comes back as it was.
	v.By, v.What, v.Within, v.Until, v.Raw = cmp.Or(f.Get("by"), "id"), strings.TrimSpace(f.Get("what")), cmp.Or(f.Get("within"), "1 h"), f.Get("until"), f.Get("what64")
	for _, w := range windows {
		v.Windows = append(v.Windows, w.Name)
	}
	if v.What == "" && v.Raw == "" {
		return nil, nil
	}
	q := &question{by: v.By, text: v.What, key: []byte(v.What), to: now}
	// Links from other pages give keys in Base64 (RFC 4648, section 5): a text field would not
	// preserve arbitrary bytes, nor leading spaces.
	if v.Raw != "" {
		key, err := base64.RawURLEncoding.DecodeString(v.Raw)
		if err != nil {
			return nil, wrong("the key can't be read")
		}
		q.key = key
	}
	if v.By != "id" && v.By != "key" && v.By != "correlation" {
		return nil, wrong("search by id, key or correlation")
	}
	// Browsers send datetime-local without a zone, so it is read in the zone in which the
	// console shows times.
	if v.Until != "" {
		t, err := time.ParseInLocation("2006-01-02T15:04", v.Until, d.config.Location)
		if err != nil {
			return nil, wrong("write the end as 2006-01-02T15:04")
		}
		q.to = t
	}
	long := time.Duration(0)
	for _, w := range windows {
		if w.Name == v.Within {
			long = w.Long
		}
	}
	// Only the windows of the form are accepted. Any other length could make a search read the
	// whole log.
	if long == 0 {
		return nil, wrong("choose one of the offered lengths of time")
	}
	q.from = q.to.Add(-long)
	return q, nil
}

// story makes the page of a search. An empty form costs nothing: only a question reads the
// log.
func (d *desk) story(ctx context.Context, r *http.Request) (any, error) {
	v := &storyView{}
	// One time is used throughout, so that the end of the search and the ages on the page
	// agree.
	now := time.Now()
	q, err := d.readQuestion(r.URL.Query(), v, now)
	if q == nil || err != nil {
		return v, err
	}
	done, err := d.scan(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, storyTime)
	defer cancel()
	v.Searched, v.From, v.To = true, q.from.In(d.config.Location), q.to.In(d.config.Location)
	// Both runs below add to the same nodes, which recognize records of the first run by their
	// places.
	s := &search{cluster: d.cluster, view: v, nodes: make(map[string]*node), now: now}
	err = s.run(ctx, q)
	if correlation := s.flow(); err == nil && q.by == "id" && correlation != "" {
		// Search for the rest of the flow that the event belongs to.
		err = s.run(ctx, &question{by: "correlation", text: correlation, from: q.from, to: q.to})
	}
	switch {
	// The page shows what was found so far, and how to find more.
	case errors.Is(err, context.DeadlineExceeded):
		v.Cut = "reading took longer than " + span(storyTime) + ": choose a shorter time"
	case err != nil:
		return nil, err
	}
	v.Roots, v.Events = s.tree(), len(s.nodes)
	// Last, once all records are known: each group is asked only once.
	d.follow(ctx, s)
	return v, nil
}

// search reads the logs and keeps what belongs to a story. It is used by one goroutine.
// nodes are by source and id, which together identify an event (CloudEvents, section "id").
// found counts records, of which an event may have several.
type search struct {
	cluster *cluster
	view    *storyView
	nodes   map[string]*node
	found   int
	kept    int // bytes of keys and texts
	now     time.Time
}

// run reads every partition that may hold part of the answer.
func (s *search) run(ctx context.Context, q *question) error {
	infos, err := s.cluster.admin.Topics(ctx)
	if err != nil {
		return err
	}
	var partitions []transport.Partition
	chosen, retry := s.cluster.chosen()
	maps.Copy(chosen, retry)
	// The second run reads the same topics, which must not be counted twice.
	s.view.Topics = 0
	for i := range infos {
		info := &infos[i]
		// The topic of jobs and decisions contains no events.
		if info.Err != nil || !s.cluster.meant(info.Name) && !chosen[info.Name] || info.Name == redrive.Topic {
			continue
		}
		if s.view.Topics == storyTopics {
			s.view.Cut = fmt.Sprintf("there are more than %d topics", storyTopics)
			break
		}
		s.view.Topics++
		// The declared partitioner puts a key into one partition. Its letters need not be in that
		// one, since the topics may differ in size.
		only, known := int32(0), false
		if letters := naming.IsDead(info.Name) || naming.IsRetry(info.Name) || chosen[info.Name]; q.by == "key" && !letters {
			only, known = s.cluster.partition(info, q.key)
		}
		for n := range info.Partitions {
			if known && n != only {
				continue
			}
			partitions = append(partitions, transport.Partition{Topic: info.Name, Partition: n})
		}
	}
	if len(partitions) == 0 {
		return nil
	}
	// Brokers have an index of offsets by time, so that only the window itself is read.
	from, err := s.cluster.admin.Offsets(ctx, transport.At(q.from), partitions...)
	if err != nil {
		return err
	}
	end := transport.Latest()
	// An end in the future is no limit.
	if q.to.Before(s.now) {
		end = transport.At(q.to)
	}
	to, err := s.cluster.admin.Offsets(ctx, end, partitions...)
	if err != nil {
		return err
	}
	// One event is reused for all records, as a search may read millions; add copies what it
	// keeps.
	var e wire.Event
	return scan.Each(ctx, s.cluster.transport, from, to, func(r *transport.Record) error {
		s.view.Looked++
		// Decode may fail halfway, so nothing of the previous record may be left.
		e = wire.Event{}
		// A record that is not an event has neither id nor correlation, but may have the key.
		if readRecord(r, &e) != nil && q.by != "key" {
			return nil
		}
		if !q.matches(&e) {
			return nil
		}
		// Checked after the match, so that the page says "more" only if there are more.
		if s.found == storyFound {
			s.view.Cut = fmt.Sprintf("there are more than %d records", storyFound)
			return scan.ErrEnough
		}
		if s.add(&e, r); s.kept > maxKept {
			s.view.Cut = "what was found is more than " + size(maxKept)
			return scan.ErrEnough
		}
		return nil
	})
}

// partition returns the partition of a key. It reports false if no catalogue says how
// writers choose it, so that it may be any.
func (c *cluster) partition(info *transport.TopicInfo, key []byte) (int32, bool) {
	for _, document := range c.catalogs() {
		for i := range document.Topics {
			if t := &document.Topics[i]; mask.Covers(t, info.Name) {
				by, known := declare.PartitionerNamed(t.Partitioner)
				return by.Of(key, info.Partitions), known
			}
		}
	}
	return 0, false
}

// readRecord decodes the event of a record, whichever program wrote it. The error says why
// the record is not an event.
func readRecord(r *transport.Record, e *wire.Event) error { return foreign.Decode(r, e) }

// flow returns the correlation that all found events share, or "" if they don't share one.
// Events of several flows have only the id in common, and searching for one of their flows
// would leave out the others.
func (s *search) flow() string {
	flow := ""
	for _, n := range s.nodes {
		if n.Correlation == "" || flow != "" && flow != n.Correlation {
			return ""
		}
		flow = n.Correlation
	}
	return flow
}
