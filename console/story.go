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

// Bounds of a search. What it left out is said on the page.
const (
	storyTime   = 20 * time.Second
	storyTopics = 500
	storyFound  = 500 // records
)

// windows are the lengths of time that a search may be about.
// A search reads all partitions from its begin to its end, so a user chooses how much
// that is. There is no window without an end: retention may be years.
var windows = []struct {
	Name string
	Long time.Duration
}{{"15 min", 15 * time.Minute}, {"1 h", time.Hour}, {"6 h", 6 * time.Hour}, {"24 h", 24 * time.Hour}, {"7 d", 7 * 24 * time.Hour}}

// storyView is the page on what happened to an event, a key or a flow.
// The first fields are the form as it was sent, so that it comes back filled in. What
// follows Searched is set only if something was looked for.
type storyView struct {
	By, What, Within, Until string
	Windows                 []string
	Raw                     string // the key in Base64, where it came so

	Searched bool
	From, To time.Time
	Looked   int64 // records
	Topics   int
	Cut      string // why not all was looked at
	Roots    []*node
	Events   int
}

// question is what a search looks for.
// A key is compared as bytes, since it need not be text. The time is [from, to).
type question struct {
	by       string // id, key or correlation
	text     string
	key      []byte
	from, to time.Time
}

// matches reports whether an event is part of the answer.
// An id also finds what the event caused directly, and a correlation also an event
// of that id, with which the flow may have begun.
func (q *question) matches(e *wire.Event) bool {
	switch q.by {
	case "key":
		return e.Key != nil && bytes.Equal(e.Key, q.key)
	case "id":
		return e.ID == q.text || e.CausationID == q.text
	}
	return e.CorrelationID == q.text || e.ID == q.text
}

// readQuestion reads the form. It returns nil for an empty one.
func (d *desk) readQuestion(f url.Values, v *storyView, now time.Time) (*question, error) {
	// The view is filled before anything is refused.
	v.By, v.What, v.Within, v.Until, v.Raw = cmp.Or(f.Get("by"), "id"), strings.TrimSpace(f.Get("what")), cmp.Or(f.Get("within"), "1 h"), f.Get("until"), f.Get("what64")
	for _, w := range windows {
		v.Windows = append(v.Windows, w.Name)
	}
	if v.What == "" && v.Raw == "" {
		return nil, nil
	}
	q := &question{by: v.By, text: v.What, key: []byte(v.What), to: now}
	// Links from other pages give keys in Base64 (RFC 4648, section 5): a key of arbitrary
	// bytes would not survive in a field of text, nor one that begins with a space.
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
	// This is the form in which a browser sends datetime-local: without a zone, so it is in
	// the zone in which the console shows times.
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
	// Only the windows that the form offers are taken. A length of another kind could have
	// the whole log read.
	if long == 0 {
		return nil, wrong("there is no such length of time")
	}
	q.from = q.to.Add(-long)
	return q, nil
}

// story makes the page of a search. An empty form costs nothing: the log is read only
// for a question.
func (d *desk) story(ctx context.Context, r *http.Request) (any, error) {
	v := &storyView{}
	// One time is used throughout, so that the end of the search and the ages on the page
	// belong together.
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
	// Both runs below add to the same nodes, which tell by a record's place what the first
	// one has found.
	s := &search{cluster: d.cluster, view: v, nodes: make(map[string]*node), now: now}
	err = s.run(ctx, q)
	if correlation := s.flow(); err == nil && q.by == "id" && correlation != "" {
		// The rest of the flow that the event belongs to.
		err = s.run(ctx, &question{by: "correlation", text: correlation, from: q.from, to: q.to})
	}
	switch {
	// What was found until then is shown, with the advice.
	case errors.Is(err, context.DeadlineExceeded):
		v.Cut = "reading took longer than " + span(storyTime) + ": choose a shorter time"
	case err != nil:
		return nil, err
	}
	v.Roots, v.Events = s.tree(), len(s.nodes)
	// Only now, when it is known which records are shown: groups are asked once for all.
	d.follow(ctx, s)
	return v, nil
}

// search reads the logs and keeps what belongs to a story.
// It is used by one goroutine. nodes are by source and id, which together name an event
// (CloudEvents, section "id"); found counts records, of which an event may have several.
type search struct {
	cluster *cluster
	view    *storyView
	nodes   map[string]*node
	found   int
	kept    int // bytes of keys and texts
	now     time.Time
}

// run reads every partition that may have a part of the answer.
func (s *search) run(ctx context.Context, q *question) error {
	infos, err := s.cluster.admin.Topics(ctx)
	if err != nil {
		return err
	}
	var partitions []transport.Partition
	chosen, retry := s.cluster.chosen()
	maps.Copy(chosen, retry)
	// The second run reads the same topics, which are not to be counted twice.
	s.view.Topics = 0
	for i := range infos {
		info := &infos[i]
		// The topic of jobs and decisions has no events in it.
		if info.Err != nil || !s.cluster.meant(info.Name) && !chosen[info.Name] || info.Name == redrive.Topic {
			continue
		}
		if s.view.Topics == storyTopics {
			s.view.Cut = fmt.Sprintf("there are more than %d topics", storyTopics)
			break
		}
		s.view.Topics++
		// A key has one partition, by the partitioner that is declared. Its letters have one
		// too, which need not be the same where the topics differ in size.
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
	// Brokers find offsets by time in an index, so that only the window itself is read.
	from, err := s.cluster.admin.Offsets(ctx, transport.At(q.from), partitions...)
	if err != nil {
		return err
	}
	end := transport.Latest()
	// An end in the future is none: no record could be found after it.
	if q.to.Before(s.now) {
		end = transport.At(q.to)
	}
	to, err := s.cluster.admin.Offsets(ctx, end, partitions...)
	if err != nil {
		return err
	}
	// One event serves for all records, since a search may read millions: what is kept of it
	// is copied by add.
	var e wire.Event
	return scan.Each(ctx, s.cluster.transport, from, to, func(r *transport.Record) error {
		s.view.Looked++
		// Decode may fail halfway: nothing of the record before may be left then.
		e = wire.Event{}
		// A record that is not an event has neither id nor correlation, but may have the key.
		if readRecord(r, &e) != nil && q.by != "key" {
			return nil
		}
		if !q.matches(&e) {
			return nil
		}
		// Checked after the match: the page says that there are more only if there are.
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

// partition returns the partition of a key. It returns false if no catalogue says how writers
// choose it: then it may be any.
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

// readRecord decodes the event of a record, whichever program wrote that. The error says
// why it is not an event.
func readRecord(r *transport.Record, e *wire.Event) error { return foreign.Decode(r, e) }

// flow returns the correlation that all events that were found share, if they do.
// With several flows among them the events have only the id in common, and to search
// for one of the flows would leave out the others.
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
