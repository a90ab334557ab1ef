package eventbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// letterTopic is the dead-letter topic of one topic and group.
type letterTopic struct {
	topic string
	// partitions is the number of its partitions, 0 until known.
	partitions atomic.Int32
}

// deadLetter writes a failed record to the dead-letter topic, with its key,
// value and headers unchanged. done is called with the outcome of the write.
func (g *group) deadLetter(ctx context.Context, f *engine.Failure, done func(error)) {
	t := g.routes[f.Record.Topic]
	r, err := g.letter(ctx, t, f)
	if err != nil {
		done(err)
		return
	}
	g.writeLetter(ctx, f, r, func(err error) {
		if err != nil {
			t.letters.partitions.Store(0) // the topic may be another one by now
		}
		if !errors.Is(err, ErrTooLarge) {
			done(err)
			return
		}
		// Larger than the topic takes, with all that was added: once more
		// with what is needed to find the origin. On a goroutine of its own,
		// since this is the producer's.
		small := *r
		small.Headers = nil
		for _, h := range r.Headers {
			if h.Key != letter.Error && h.Key != letter.Stack {
				small.Headers = append(small.Headers, h)
			}
		}
		go g.writeLetter(ctx, f, &small, done)
	})
}

// letterCompletion receives the outcome of a dead letter's write.
type letterCompletion struct {
	telemetry.Outgoing
	group   *group
	failure *engine.Failure
	done    func(error)
}

// Done implements transport.Completion.
func (c *letterCompletion) Done(p transport.Position, err error) {
	c.End(p, err)
	// Before done, which ends the failure.
	if err == nil && c.group.hooks != nil {
		c.group.hooks.DeadLettered(c.group.routes[c.failure.Record.Topic].name, c.failure, p, c.group.signals)
	}
	c.done(err)
}

// writeLetter hands a letter to the producer. done is called with the outcome, by
// the producer's goroutine, or before writeLetter returns if the letter is refused.
func (g *group) writeLetter(ctx context.Context, f *engine.Failure, r *transport.Record, done func(error)) {
	producer, err := g.bus.letterProducer()
	if err != nil {
		done(err)
		return
	}
	letter := &letterCompletion{g.signals.StartLetter(f, r), g, f, done}
	letter.Carry(r)
	if err := producer.Produce(ctx, r, letter); err != nil {
		done(letter.Refuse(err))
	}
}

// letter returns the record of a dead letter. Its partition corresponds to its
// origin's, so that the letters of a key stay in one partition, in order.
func (g *group) letter(ctx context.Context, t *groupTopic, f *engine.Failure) (*transport.Record, error) {
	n, err := g.bus.letterPartitions(ctx, &t.letters)
	if err != nil {
		return nil, err
	}
	r := f.Record
	// Room for the headers that are added below: one allocation.
	headers := make([]transport.Header, 0, len(r.Headers)+12)
	for _, h := range r.Headers {
		// A redelivered record has the headers of its earlier letter.
		if !strings.HasPrefix(h.Key, letter.Prefix) {
			headers = append(headers, h)
		}
	}
	var failure, written, bytes, count, missing, stack []byte // nil where there is no such header
	if f.Err != nil {
		failure = []byte(telemetry.Clipped(f.Err.Error(), telemetry.MaxErrorText))
	}
	if wire.CheckTime(r.Time) == nil && !r.Time.IsZero() { // a foreign timestamp may be any
		written = stamp(r.Time)
	}
	if x := r.Excess; x != nil {
		bytes = number(int64(x.Bytes))
		if x.Headers >= 0 {
			count = number(int64(x.Headers))
		}
		if x.Value {
			missing = []byte(letter.MissingValue)
		}
	}
	if len(f.Stack) > 0 {
		stack = []byte(telemetry.Clipped(string(f.Stack), telemetry.MaxStackText))
	}
	for _, h := range [...]transport.Header{
		{Key: letter.Reason, Value: []byte(f.Reason)},
		{Key: letter.Error, Value: failure},
		{Key: letter.Topic, Value: []byte(r.Topic)},
		{Key: letter.Partition, Value: number(int64(r.Partition))},
		{Key: letter.Offset, Value: number(r.Offset)},
		{Key: letter.Time, Value: written},
		{Key: letter.Group, Value: []byte(g.name)},
		{Key: letter.Attempts, Value: number(int64(f.Attempts))},
		{Key: letter.FirstFailure, Value: stamp(f.First)},
		{Key: letter.LastFailure, Value: stamp(f.Last)},
		{Key: letter.Bytes, Value: bytes},
		{Key: letter.HeaderCount, Value: count},
		{Key: letter.Missing, Value: missing},
		{Key: letter.Stack, Value: stack},
	} {
		if h.Value != nil {
			headers = append(headers, h)
		}
	}
	// The letter topic may have fewer partitions than the source.
	return &transport.Record{Topic: t.letters.topic, Partition: r.Partition % n, Key: r.Key, Value: r.Value, Headers: headers}, nil
}

// number and stamp are how headers of dead letters hold numbers and times.
func number(n int64) []byte { return strconv.AppendInt([]byte{}, n, 10) }

func stamp(t time.Time) []byte { return t.UTC().AppendFormat([]byte{}, time.RFC3339Nano) }

// letterPartitions returns the number of partitions of a dead-letter topic, which it
// asks for once, and again after a letter could not be written.
func (b *Bus) letterPartitions(ctx context.Context, to *letterTopic) (int32, error) {
	// Topics keep their partitions, or get more: an old number is still valid, unless the
	// topic was deleted and created again with fewer.
	if n := to.partitions.Load(); n > 0 {
		return n, nil
	}
	ctx, cancel := context.WithTimeout(ctx, letterLookup)
	defer cancel()
	infos, err := b.transport.Admin().Topics(ctx, to.topic)
	if err != nil {
		return 0, err
	}
	if infos[0].Err != nil {
		return 0, infos[0].Err
	}
	if infos[0].Partitions < 1 {
		return 0, fmt.Errorf("topic %s has %d partitions by what the brokers say", to.topic, infos[0].Partitions)
	}
	to.partitions.Store(infos[0].Partitions)
	return infos[0].Partitions, nil
}

// letterLookup bounds the question for the letter topic, which holds up a key.
const letterLookup = 10 * time.Second
