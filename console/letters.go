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

// Bounds of reading letters for one page, while its user waits. Jobs beyond the last
// bound are left out; of the others the page says where one was reached.
const (
	letterTime  = 20 * time.Second
	maxCauses   = 200
	maxLetters  = 100
	maxJobsSeen = 50
	// maxKept bounds the keys and texts that a page or a file keeps while reading, in bytes.
	// Each of them may be as large as a record.
	maxKept = 16 << 20
)

// lettersView is the page of dead letters: the topics that have some, or one of them by
// cause.
// Without a Topic, Boxes alone is set. With one, Box and what follows it are.
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
// Topic and State are those of the page, which the address of its letters needs.
type cause struct {
	redrive.Cause
	Topic, State string
}

// List leads to the letters of the cause.
func (c *cause) List() string {
	// The address is relative, as all are here: the console does not know its prefix.
	return "cause?" + url.Values{"topic": {c.Topic}, "cause": {c.Fingerprint}, "state": {c.State}}.Encode()
}

// letters makes the page of dead letters. The list of topics comes from the overview and
// reads no log; the causes of one topic are found by reading its letters.
func (d *desk) letters(ctx context.Context, r *http.Request) (any, error) {
	topic := r.URL.Query().Get("topic")
	if topic == "" {
		seen := d.cluster.overview(ctx)
		return &lettersView{Boxes: seen.boxes, Problem: seen.problem}, nil
	}
	// The turn comes before the time limit: to wait for others must not shorten the reading.
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
	// The states are listed in the order in which a letter may pass through them.
	v := &lettersView{Topic: topic, Box: newBox(b), State: state.String(), States: []string{"open", "quarantined", "replayed", "skipped"}, Actions: actions(state)}
	found, err := b.Causes(ctx, redrive.Filter{States: []redrive.State{state}}, maxCauses)
	switch {
	// What was counted until then is right as far as it goes, and worth showing.
	case errors.Is(err, context.DeadlineExceeded):
		v.Cut = true
	case err != nil:
		return nil, err
	}
	v.Letters, v.Others = found.Letters, found.Others
	for _, c := range found.List {
		v.Causes = append(v.Causes, cause{c, topic, v.State})
	}
	// Jobs are a part of the page only. Where they can't be read, the causes are shown all
	// the same, with the problem beside them.
	v.Jobs, err = d.jobsOf(ctx, topic)
	if err != nil {
		v.Problem = err.Error()
	}
	return v, nil
}

// open opens a dead-letter topic of the environment.
func (d *desk) open(ctx context.Context, topic string) (*redrive.Box, error) {
	// The name comes from an address. Without this a console of one environment would open
	// the letters of another by a link.
	if !d.cluster.letterTopic(topic) {
		return nil, missing("this console does not show topics of other environments")
	}
	b, err := d.cluster.letters.Open(ctx, topic)
	// These are wrong addresses, or old ones: 404. Any other error is the cluster's: 502.
	if errors.Is(err, redrive.ErrNoBox) || errors.Is(err, transport.ErrTopicMissing) {
		return nil, missing(err.Error())
	}
	return b, err
}

// chosenState returns the state of letters that a page is about.
func chosenState(q url.Values) (redrive.State, error) {
	name := q.Get("state")
	// Open letters are those that wait for a decision, and what most visits are for.
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
// They are in the order in which pages offer them. What was replayed or skipped is
// decided for good, so there is none for it.
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
// Gist, Reason and Type are those of its first letter, and empty if there is none.
type causeView struct {
	Topic, Cause, State string
	Gist, Reason, Type  string
	Letters             []letterRow
	More                bool
	kept                int // bytes
}

// letterRow is a dead letter in a list.
// It owns its memory, so a view may outlive the scan. Last is the time of the last
// failure, by the clock of the member that had it.
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
	// The fingerprint is taken as it came: it is only compared. The page shows it clipped and
	// made visible, since anybody may write one into an address.
	v := &causeView{Topic: b.Topic, Cause: clip(maxShown, q.Get("cause")), State: state.String()}
	// Letters that wait for a decision lie behind those that are done, most of the time: to
	// begin at the first of them spares reading the rest.
	from := b.All()
	if state == redrive.Open || state == redrive.Quarantined {
		from = b.Undecided()
	}
	err = b.Each(ctx, from, func(l *letter.Letter, s redrive.State, foreign error) error {
		if !s.Is(state) {
			return nil
		}
		// Records that are not dead letters have causes of their own, as on the page before.
		if cause, reason, gist := redrive.CauseOf(l, foreign); cause == q.Get("cause") {
			return v.add(l, reason, gist, most)
		}
		return nil
	})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	// A list that ran out of time is one that may have more.
	v.More = v.More || err != nil
	return v, nil
}

// add adds a letter to the list, and ends the scan where that is full.
func (v *causeView) add(l *letter.Letter, reason, gist string, most int) error {
	row := newLetterRow(l)
	v.kept += len(row.Key) + len(row.ID) + len(row.Type) + len(row.Error) + len(row.Group)
	// The letter that does not fit is not kept. It only shows that there is one.
	if len(v.Letters) == most || v.kept > maxKept {
		v.More = true
		return scan.ErrEnough
	}
	if v.Gist == "" {
		v.Gist, v.Reason, v.Type = gist, reason, strings.Clone(redrive.Type(l))
	}
	v.Letters = append(v.Letters, row)
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
// Foreign says why the record is not a dead letter; then the fields that are read from its
// headers may be empty. First is the time of the first failure.
type letterView struct {
	letterRow
	State, Reason, Stack, Cause, Foreign string
	Listed                               redrive.State // state of the list that it is in
	First                                time.Time
	Source, Origin                       string
	Event                                eventView
	Actions                              []redrive.Action
}

func (d *desk) letter(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	// Kafka numbers partitions with 32 bits and offsets with 64.
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
	// Each reads a partition without a known end for as long as ctx lasts, and begins at
	// the next record where an offset has been deleted.
	if end, has := b.End[at]; !has || offset < b.First[at] || offset >= end {
		return nil, missing("the log has no such letter: retention or a purge may have removed it")
	}
	var v *letterView
	err = b.Each(ctx, map[transport.Partition]int64{at: offset}, func(l *letter.Letter, s redrive.State, foreign error) error {
		// The first record from an offset on may be a later one: transactions that were aborted
		// and their markers take up offsets too.
		if l.Record.Offset == offset {
			v = d.newLetterView(ctx, l, s, foreign)
		}
		return scan.ErrEnough
	})
	if err == nil && v == nil {
		err = missing("this offset holds no letter")
	}
	return v, err
}

func (d *desk) newLetterView(ctx context.Context, l *letter.Letter, s redrive.State, foreign error) *letterView {
	cause, reason, _ := redrive.CauseOf(l, foreign)
	v := &letterView{
		letterRow: newLetterRow(l), State: s.String(), Reason: reason, Stack: l.Stack, Cause: cause, First: l.FirstFailure,
		Source: fmt.Sprintf("%s@%d", l.Source, l.SourceOffset), Origin: fmt.Sprintf("%s@%d", l.Origin.Partition, l.Origin.Offset), Actions: actions(s), Listed: s,
	}
	if s == redrive.Decided {
		v.Listed = redrive.Replayed // or in the other, which has it too
	}
	// A foreign record is shown as far as it can be read: to see what it is may be all that
	// an operator needs in order to skip it.
	if foreign != nil {
		v.Foreign = foreign.Error()
	}
	// The view copies what it keeps. The record's memory is the scan's and ends with it.
	v.Event = d.newEventView(ctx, l.Record)
	return v
}
