package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/transport"
)

// Bounds of reading letters for one page.
const (
	letterTime  = 20 * time.Second
	maxCauses   = 200
	maxLetters  = 100
	maxJobsSeen = 50
)

// lettersView is the page of dead letters: the topics that have some, or one of them by
// cause.
type lettersView struct {
	Boxes   []box
	Problem string
	Topic   string
	Box     box
	State   string // which letters: open, quarantined, replayed or skipped
	States  []string
	Causes  []cause
	Letters int64 // that were read
	Others  int64 // of more causes than are told apart
	Cut     bool  // reading took too long
	Jobs    []jobRow
	Actions []redrive.Action
}

// cause is letters that failed for one reason.
type cause struct {
	redrive.Cause
	Topic, State string
}

// List leads to the letters of the cause.
func (c *cause) List() string {
	return "cause?" + url.Values{"topic": {c.Topic}, "cause": {c.Fingerprint}, "state": {c.State}}.Encode()
}

func (d *desk) letters(ctx context.Context, r *http.Request) (any, error) {
	topic := r.URL.Query().Get("topic")
	if topic == "" {
		seen := d.cluster.overview(ctx)
		return &lettersView{Boxes: seen.boxes, Problem: seen.problem}, nil
	}
	done, err := d.scan(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, letterTime)
	defer cancel()
	b, err := d.open(ctx, topic)
	if err != nil {
		return nil, err
	}
	state, err := chosenState(r.URL.Query())
	if err != nil {
		return nil, err
	}
	v := &lettersView{Topic: topic, Box: newBox(b), State: state.String(), States: []string{"open", "quarantined", "replayed", "skipped"}, Actions: actions(state)}
	found, err := b.Causes(ctx, redrive.Filter{States: []redrive.State{state}}, maxCauses)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		v.Cut = true
	case err != nil:
		return nil, err
	}
	v.Letters, v.Others = found.Letters, found.Others
	for _, c := range found.List {
		v.Causes = append(v.Causes, cause{c, topic, v.State})
	}
	v.Jobs, err = d.jobsOf(ctx, topic)
	if err != nil {
		v.Problem = err.Error()
	}
	return v, nil
}

// open opens a dead-letter topic of the environment.
func (d *desk) open(ctx context.Context, topic string) (*redrive.Box, error) {
	if !d.cluster.meant(topic) {
		return nil, missing("this console does not show topics of other environments")
	}
	b, err := d.cluster.letters.Open(ctx, topic)
	if errors.Is(err, redrive.ErrNoBox) || errors.Is(err, transport.ErrTopicMissing) {
		return nil, missing(err.Error())
	}
	return b, err
}

// chosenState returns the state of letters that a page is about.
func chosenState(q url.Values) (redrive.State, error) {
	name := q.Get("state")
	if name == "" {
		return redrive.Open, nil
	}
	s, ok := redrive.StateOf(name)
	if !ok {
		return 0, wrong("there is no such state of letters")
	}
	return s, nil
}

// actions are those that take letters in a state.
func actions(s redrive.State) []redrive.Action {
	switch s {
	case redrive.Open:
		return []redrive.Action{redrive.Replay, redrive.Quarantine, redrive.Skip}
	case redrive.Quarantined:
		return []redrive.Action{redrive.Release}
	}
	return nil
}

// causeView is the letters of one cause.
type causeView struct {
	Topic, Cause, State string
	Gist, Reason, Type  string
	Letters             []letterRow
	More                bool
}

// letterRow is a dead letter in a list.
type letterRow struct {
	Topic                  string
	Partition              int32
	Offset                 int64
	Key                    []byte
	ID, Type, Error, Group string
	Attempts, Redeliveries int
	Last                   time.Time
}

// Open leads to the letter.
func (l *letterRow) Open() string {
	return "letter?" + url.Values{"topic": {l.Topic}, "partition": {strconv.Itoa(int(l.Partition))}, "offset": {strconv.FormatInt(l.Offset, 10)}}.Encode()
}

func (d *desk) cause(ctx context.Context, r *http.Request) (any, error) {
	return d.causeOf(ctx, r, maxLetters)
}

// causeOf reads the first letters of a cause, up to a number.
func (d *desk) causeOf(ctx context.Context, r *http.Request, most int) (*causeView, error) {
	q := r.URL.Query()
	done, err := d.scan(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, letterTime)
	defer cancel()
	b, err := d.open(ctx, q.Get("topic"))
	if err != nil {
		return nil, err
	}
	state, err := chosenState(q)
	if err != nil {
		return nil, err
	}
	v := &causeView{Topic: b.Topic, Cause: clip(maxShown, q.Get("cause")), State: state.String()}
	filter := redrive.Filter{Fingerprints: []string{q.Get("cause")}, States: []redrive.State{state}}
	from := b.All()
	if state == redrive.Open || state == redrive.Quarantined {
		from = b.Undecided()
	}
	err = b.Each(ctx, from, func(l *letter.Letter, s redrive.State, foreign error) error {
		if foreign == nil && filter.Takes(l, s) {
			return v.add(l, most)
		}
		return nil // a record that is no dead letter is of no cause
	})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	v.More = v.More || err != nil
	return v, nil
}

// add adds a letter to the list, and ends the scan where that is full.
func (v *causeView) add(l *letter.Letter, most int) error {
	if len(v.Letters) == most {
		v.More = true
		return scan.ErrEnough
	}
	if v.Gist == "" {
		v.Gist, v.Reason, v.Type = redrive.Gist(l), l.Reason, redrive.Type(l)
	}
	v.Letters = append(v.Letters, newLetterRow(l))
	return nil
}

// newLetterRow copies what a row shows: a letter is valid only while it is read.
func newLetterRow(l *letter.Letter) letterRow {
	return letterRow{
		Topic: l.Record.Topic, Partition: l.Record.Partition, Offset: l.Record.Offset, Key: slices.Clone(l.Record.Key),
		ID: strings.Clone(redrive.ID(l)), Type: strings.Clone(redrive.Type(l)), Error: l.Error, Group: l.Group,
		Attempts: l.Attempts, Redeliveries: l.Redeliveries, Last: l.LastFailure,
	}
}

// letterView is one dead letter.
type letterView struct {
	letterRow
	State, Reason, Stack, Cause, Foreign string
	First                                time.Time
	Source, Origin                       string
	Event                                eventView
	Actions                              []redrive.Action
}

func (d *desk) letter(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	partition, err1 := strconv.ParseInt(q.Get("partition"), 10, 32)
	offset, err2 := strconv.ParseInt(q.Get("offset"), 10, 64)
	if err1 != nil || err2 != nil || offset < 0 {
		return nil, wrong("partition and offset are numbers")
	}
	ctx, cancel := context.WithTimeout(ctx, letterTime)
	defer cancel()
	b, err := d.open(ctx, q.Get("topic"))
	if err != nil {
		return nil, err
	}
	at := transport.Partition{Topic: b.Topic, Partition: int32(partition)}
	if end, has := b.End[at]; !has || offset < b.First[at] || offset >= end {
		return nil, missing("the log has no such letter: retention or a purge may have removed it")
	}
	var v *letterView
	err = b.Each(ctx, map[transport.Partition]int64{at: offset}, func(l *letter.Letter, s redrive.State, foreign error) error {
		if l.Record.Offset == offset {
			v = d.newLetterView(l, s, foreign)
		}
		return scan.ErrEnough
	})
	if err == nil && v == nil {
		err = missing("this offset holds no letter")
	}
	return v, err
}

func (d *desk) newLetterView(l *letter.Letter, s redrive.State, foreign error) *letterView {
	v := &letterView{
		letterRow: newLetterRow(l), State: s.String(), Reason: l.Reason, Stack: l.Stack, Cause: redrive.Fingerprint(l), First: l.FirstFailure,
		Source: fmt.Sprintf("%s@%d", l.Source, l.SourceOffset), Origin: fmt.Sprintf("%s@%d", l.Origin.Partition, l.Origin.Offset), Actions: actions(s),
	}
	if foreign != nil {
		v.Foreign = foreign.Error()
	}
	v.Event = d.newEventView(l.Record)
	return v
}
