package letter

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// Letter is a dead letter: the record as it was written, and what its headers say about
// the failure. Missing times are zero.
type Letter struct {
	Record *transport.Record

	Reason   string
	Error    string
	Stack    string
	Group    string
	Attempts int
	// Source is where the group read the record when it failed, Written when the record
	// was published.
	Source       transport.Partition
	SourceOffset int64
	Written      time.Time
	FirstFailure time.Time
	LastFailure  time.Time

	// Redeliveries is how often the event had come back. Origin is where it was first
	// read.
	Redeliveries int
	Origin       transport.Position

	// Retry is the topic through which the event comes back to Group; empty if neither
	// a header nor the name of the dead-letter topic says so. Named reports whether a
	// header does: it comes from outside, so an operator must agree to that topic.
	Retry string
	Named bool
}

// errForeign is returned for a record that was not written as a dead letter. The topic
// header decides, since every dead letter has it.
var errForeign = errors.New("it is not a dead letter of an event bus: it has no header " + Topic)

// Read reads a dead letter. It keeps the record's memory. With an error it returns the
// Letter as far as it could be read, at least with its record, so a tool can show a
// damaged one. Headers come from outside: a negative number is an error and reads as 0.
func Read(r *transport.Record) (*Letter, error) {
	l := &Letter{Record: r}
	if !IsLetter(r) {
		return l, errForeign
	}
	var wrong []error
	text := func(key string) string {
		value, _ := r.Header(key)
		return string(value)
	}
	number := func(key string) int64 {
		value, ok := r.Header(key)
		if !ok {
			return 0
		}
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 0 {
			wrong = append(wrong, fmt.Errorf("header %s is not a number", key))
		}
		return max(n, 0)
	}
	moment := func(key string) time.Time {
		t, err := time.Parse(time.RFC3339Nano, text(key))
		if err != nil && text(key) != "" {
			wrong = append(wrong, fmt.Errorf("header %s is not a time", key))
		}
		return t
	}
	l.Reason, l.Error, l.Stack, l.Group = text(Reason), text(Error), text(Stack), text(Group)
	l.Attempts = int(min(number(Attempts), math.MaxInt32))
	l.Source = transport.Partition{Topic: text(Topic), Partition: int32(min(number(Partition), math.MaxInt32))} //nolint:gosec // a partition fits
	l.SourceOffset = number(Offset)
	l.Written, l.FirstFailure, l.LastFailure = moment(Time), moment(FirstFailure), moment(LastFailure)
	l.Redeliveries = int(min(number(Redeliveries), mostRedeliveries))
	l.Origin = transport.Position{Partition: l.Source, Offset: l.SourceOffset, Time: l.Written}
	if _, came := r.Header(OriginTopic); came {
		l.Origin.Partition = transport.Partition{Topic: text(OriginTopic), Partition: int32(min(number(OriginPartition), math.MaxInt32))} //nolint:gosec // a partition fits
		l.Origin.Offset, l.Origin.Time = number(OriginOffset), moment(OriginTime)
	}
	l.Retry = naming.RetryOf(r.Topic)
	if retry, named := r.Header(Retry); named {
		l.Named, l.Retry = true, ""
		// This also bounds the length of the name.
		if err := naming.CheckTopicName(string(retry)); err != nil {
			wrong = append(wrong, fmt.Errorf("header %s is not a topic's name", Retry))
		} else {
			l.Retry = string(retry)
		}
	}
	return l, errors.Join(wrong...)
}

// Event decodes the event of a letter in its topic's form, as its group saw it.
func (l *Letter) Event(form *wire.Form, e *wire.Event) error {
	if form == nil || l.Origin.Topic == "" {
		return Decode(form, l.Record, e)
	}
	var first transport.Record
	err := form.Decode(l.Record, placed(l.Record, &l.Origin, &first), e)
	Redelivered(e)
	return err
}

// Whole reports whether the letter has the event's value. Without the value nothing can
// be redelivered.
func (l *Letter) Whole() bool {
	missing, _ := l.Record.Header(Missing)
	return string(missing) != MissingValue
}

// Again returns the record that redelivers the event to its group: with its own
// key, value and headers, one redelivery more, and the position at which it was
// first read. The headers of the dead letter are dropped, because a second
// failure writes new ones. The record goes to the same partition of the retry
// topic, which keeps the order of a key's letters.
func (l *Letter) Again() transport.Record {
	r := transport.Record{Topic: l.Retry, Partition: l.Record.Partition, Key: l.Record.Key, Value: l.Record.Value}
	add := func(key, value string) {
		r.Headers = append(r.Headers, transport.Header{Key: key, Value: []byte(value)})
	}
	// Put it first: a record with too many headers loses the last ones, and without this
	// one it would be redelivered to every group.
	if l.Named {
		add(RedeliveryGroup, l.Group)
	}
	for _, h := range l.Record.Headers {
		switch h.Key {
		case Redeliveries, OriginTopic, OriginPartition, OriginOffset, OriginTime, RedeliveryGroup:
			continue
		}
		if !strings.HasPrefix(h.Key, Prefix) {
			r.Headers = append(r.Headers, h)
		}
	}
	add(Redeliveries, strconv.Itoa(l.Redeliveries+1))
	add(OriginTopic, l.Origin.Topic)
	add(OriginPartition, strconv.Itoa(int(l.Origin.Partition.Partition)))
	add(OriginOffset, strconv.FormatInt(l.Origin.Offset, 10))
	if !l.Origin.Time.IsZero() {
		add(OriginTime, l.Origin.Time.UTC().Format(time.RFC3339Nano))
	}
	return r
}
