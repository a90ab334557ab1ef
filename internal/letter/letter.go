package letter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Letter is a dead letter: the record, and its story.
type Letter struct {
	Record *transport.Record

	Reason   string
	Error    string
	Stack    string
	Group    string
	Attempts int
	// Source is where the group read the record when it failed, Written when
	// that was published.
	Source       transport.Partition
	SourceOffset int64
	Written      time.Time
	FirstFailure time.Time
	LastFailure  time.Time

	// Redeliveries is how often the event had come back, Origin where it was
	// first read.
	Redeliveries int
	Origin       transport.Position
}

// errForeign says that a record was not written as a dead letter.
var errForeign = errors.New("it is no dead letter of an event bus: it has no header " + Topic)

// Read reads a dead letter. The record's memory is kept. With an error it returns
// what could be read, the record at least.
func Read(r *transport.Record) (*Letter, error) {
	l := &Letter{Record: r}
	if _, ok := r.Header(Topic); !ok {
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
			wrong = append(wrong, fmt.Errorf("header %s is no number", key))
		}
		return max(n, 0)
	}
	moment := func(key string) time.Time {
		t, err := time.Parse(time.RFC3339Nano, text(key))
		if err != nil && text(key) != "" {
			wrong = append(wrong, fmt.Errorf("header %s is no time", key))
		}
		return t
	}
	l.Reason, l.Error, l.Stack, l.Group = text(Reason), text(Error), text(Stack), text(Group)
	l.Attempts = int(number(Attempts))
	l.Source = transport.Partition{Topic: text(Topic), Partition: int32(number(Partition))} //nolint:gosec // a partition fits
	l.SourceOffset = number(Offset)
	l.Written, l.FirstFailure, l.LastFailure = moment(Time), moment(FirstFailure), moment(LastFailure)
	l.Redeliveries = int(number(Redeliveries))
	l.Origin = transport.Position{Partition: l.Source, Offset: l.SourceOffset}
	if _, came := r.Header(OriginTopic); came {
		l.Origin.Partition = transport.Partition{Topic: text(OriginTopic), Partition: int32(number(OriginPartition))} //nolint:gosec // a partition fits
		l.Origin.Offset = number(OriginOffset)
	}
	return l, errors.Join(wrong...)
}

// Again is the record that brings the event back to its group: of its own key,
// value and headers, one redelivery more, and where it was first read.
func (l *Letter) Again() transport.Record {
	r := transport.Record{Topic: RetryTopic(l.Record.Topic), Partition: l.Record.Partition, Key: l.Record.Key, Value: l.Record.Value}
	for _, h := range l.Record.Headers {
		switch h.Key {
		case Redeliveries, OriginTopic, OriginPartition, OriginOffset:
			continue
		}
		if !strings.HasPrefix(h.Key, Prefix) {
			r.Headers = append(r.Headers, h)
		}
	}
	add := func(key, value string) {
		r.Headers = append(r.Headers, transport.Header{Key: key, Value: []byte(value)})
	}
	add(Redeliveries, strconv.Itoa(l.Redeliveries+1))
	add(OriginTopic, l.Origin.Topic)
	add(OriginPartition, strconv.Itoa(int(l.Origin.Partition.Partition)))
	add(OriginOffset, strconv.FormatInt(l.Origin.Offset, 10))
	return r
}

// RetryTopic is the topic through which letters of a dead-letter topic come back.
func RetryTopic(dead string) string { return strings.TrimSuffix(dead, DeadSuffix) + RetrySuffix }
