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

// Bounds of reading letters for one page, while its user waits. The page says where a bound
// was reached, except for maxJobsSeen.
const (
	letterTime  = 20 * time.Second
	maxCauses   = 200
	maxLetters  = 100
	maxJobsSeen = 50
	// maxKept bounds the keys and texts that a page or a file keeps while reading, in bytes.
	// Each of them may be as large as a record.
	maxKept = 16 << 20
)

// lettersView is the page of dead letters: all topics that have some, or one of them by
// cause. Without a Topic, only Boxes and Problem are set.
type lettersView struct {
	Boxes   []box
	Problem string
	Topic   string
	Box     box
	State   string // which letters: open, quarantined, replayed or skipped
	States  []string
	Causes  []cause
	Letters int64 // that were counted
	Others  int64 // letters of causes beyond maxCauses
	Cut     bool  // reading took too long
	Jobs    []jobRow
	Actions []redrive.Action
	Action  redrive.Action // the chosen one, and Rate, as far as the page's address says
	Rate    string
}

// cause is the letters that failed for one reason. Topic and State are those of the page;
// the link to the letters needs them. Chosen is whether its box is ticked.
type cause struct {
	redrive.Cause
	Topic, State string
	Chosen       bool
}

// List returns the address of the list of the cause's letters.
func (c *cause) List() string {
	// The address is relative, like all here: the console does not know its prefix.
	return "cause?" + url.Values{"topic": {c.Topic}, "cause": {c.Fingerprint}, "state": {c.State}}.Encode()
}

// letters makes the page of dead letters. The list of topics comes from the overview and
// reads no log; to find the causes of one topic it reads the letters.
func (d *desk) letters(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	topic := q.Get("topic")
	if topic == "" {
		seen := d.cluster.overview(ctx)
		return &lettersView{Boxes: seen.boxes, Problem: seen.problem}, nil
	}
	// The turn comes before the time limit: waiting for others must not shorten the reading.
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
	state, err := chosenState(q)
	if err != nil {
		return nil, err
	}
	// The states are listed in the order in which a letter may pass through them.
	v := &lettersView{Topic: topic, Box: newBox(b), State: state.String(), States: []string{"open", "quarantined", "replayed", "skipped"}, Actions: actions(state), Action: redrive.Action(q.Get("action")), Rate: "50"}
	if q.Has("rate") {
		v.Rate = clip(maxShown, q.Get("rate"))
	}
	found, err := b.Causes(ctx, redrive.Filter{States: []redrive.State{state}}, maxCauses)
	switch {
	// The counts so far are correct as far as they go, and worth showing.
	case errors.Is(err, context.DeadlineExceeded):
		v.Cut = true
	case err != nil:
		return nil, err
	}
	v.Letters, v.Others = found.Letters, found.Others
	for _, c := range found.List {
		v.Causes = append(v.Causes, cause{c, topic, v.State, slices.Contains(q["cause"], c.Fingerprint)})
	}
	// Jobs are only a part of the page. If they can't be read, the causes are shown all the
	// same, with the problem beside them.
	v.Jobs, err = d.jobsOf(ctx, topic)
	if err != nil {
		v.Problem = err.Error()
	}
	return v, nil
}

// open opens a dead-letter topic of the environment.
func (d *desk) open(ctx context.Context, topic string) (*redrive.Box, error) {
	// The name comes from an address. Without this check, a link could open the letters of
	// another environment.
	if !d.cluster.letterTopic(topic) {
		return nil, missing("this console does not show topics of other environments")
	}
	b, err := d.cluster.letters.Open(ctx, topic)
	// These addresses are wrong or outdated: 404. Any other error is the cluster's: 502.
	if errors.Is(err, redrive.ErrNoBox) || errors.Is(err, transport.ErrTopicMissing) {
		return nil, missing(err.Error())
	}
	return b, err
}

// chosenState returns the state that a page's query names.
func chosenState(q url.Values) (redrive.State, error) {
	name := q.Get("state")
	// By default the page shows letters that wait for a decision, as most visits are about them.
	if name == "" {
		return redrive.Open, nil
	}
	s, ok := redrive.StateOf(name)
	if !ok {
		return 0, wrong("there is no such state of letters")
	}
	return s, nil
}

// actions returns the actions that apply to letters in a state, in the order in which pages
// offer them. There are none for replayed and skipped letters, which are decided for good.
func actions(s redrive.State) []redrive.Action {
	switch s {
	case redrive.Open:
		return []redrive.Action{redrive.Replay, redrive.Quarantine, redrive.Skip}
	case redrive.Quarantined:
		return []redrive.Action{redrive.Release}
	}
	return nil
}

// causeView is the letters of one cause. Gist, Reason and Type are those of its first
// letter, or empty without one.
type causeView struct {
	Topic, Cause, State string
	Gist, Reason, Type  string
	Letters             []letterRow
	More                bool
	kept                int // bytes of keys and texts
}

// letterRow is a dead letter in a list. It owns its memory, so a view may outlive the scan.
// Last is the time of the last failure, by the clock of the member that had it.
type letterRow struct {
	Topic                  string
	Partition              int32
	Offset                 int64
	Key                    []byte
	ID, Type, Error, Group string
	Attempts, Redeliveries int
	Last                   time.Time
}

// Open returns the address of the letter's page.
func (l *letterRow) Open() string {
	return "letter?" + url.Values{"topic": {l.Topic}, "partition": {strconv.Itoa(int(l.Partition))}, "offset": {strconv.FormatInt(l.Offset, 10)}}.Encode()
}

func (d *desk) cause(ctx context.Context, r *http.Request) (any, error) {
	return d.causeOf(ctx, r, maxLetters)
}

// causeOf reads at most the given number of letters of a cause.
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
	// The fingerprint is used as it came, since it is only compared. The page shows it clipped
	// and made visible, since anybody may write one into an address.
	v := &causeView{Topic: b.Topic, Cause: clip(maxShown, q.Get("cause")), State: state.String()}
	// Undecided letters mostly lie behind decided ones: beginning at the first of them saves
	// reading the rest.
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
	// A list that ran out of time may have more.
	v.More = v.More || err != nil
	return v, nil
}

// add appends a letter to the list, and ends the scan once the list is full.
func (v *causeView) add(l *letter.Letter, reason, gist string, most int) error {
	row := newLetterRow(l)
	v.kept += len(row.Key) + len(row.ID) + len(row.Type) + len(row.Error) + len(row.Group)
	// A letter that does not fit is dropped. It only shows that there are more.
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

// newLetterRow copies what a row shows: a letter is valid only until the scan goes on.
func newLetterRow(l *letter.Letter) letterRow {
	return letterRow{
		Topic: l.Record.Topic, Partition: l.Record.Partition, Offset: l.Record.Offset, Key: slices.Clone(l.Record.Key),
		ID: strings.Clone(redrive.ID(l)), Type: strings.Clone(redrive.Type(l)), Error: l.Error, Group: l.Group,
		Attempts: l.Attempts, Redeliveries: l.Redeliveries, Last: l.LastFailure,
	}
}

// letterView is one dead letter. Foreign says why the record is not a dead letter; then the
// fields read from its headers may be empty. First is the time of the first failure.
type letterView struct {
	letterRow
	State, Reason, Stack, Cause, Foreign string
	Listed                               redrive.State // state of the list that links here
	First                                time.Time
	Source, Origin                       string
	Event                                eventView
	Actions                              []redrive.Action
}

func (d *desk) letter(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	// Kafka partitions are 32-bit numbers, offsets 64-bit.
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
	// Each would read a partition without a known end until ctx ends, and would begin at the
	// next record if the offset has been deleted.
	if end, has := b.End[at]; !has || offset < b.First[at] || offset >= end {
		return nil, missing("the log has no such letter: retention or a purge may have removed it")
	}
	var v *letterView
	err = b.Each(ctx, map[transport.Partition]int64{at: offset}, func(l *letter.Letter, s redrive.State, foreign error) error {
		// The first record from an offset on may be a later one: aborted transactions and markers
		// take up offsets too.
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
		v.Listed = redrive.Replayed // a decided letter is in the list of skipped ones as well
	}
	// A foreign record is shown as far as it can be read: that may be all that an operator
	// needs to decide to skip it.
	if foreign != nil {
		v.Foreign = foreign.Error()
	}
	// The view copies what it keeps, since the record is valid only during the scan.
	v.Event = d.newEventView(ctx, l.Record)
	return v
}
