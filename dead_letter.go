package eventbus

import (
	"context"
	"errors"
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

// letterBox is the dead-letter topic of one topic and group.
type letterBox struct {
	topic      string
	partitions atomic.Int32 // 0 until known
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
	done func(error)
}

// Done implements transport.Completion.
func (c *letterCompletion) Done(p transport.Position, err error) {
	c.End(p, err)
	c.done(err)
}

func (g *group) writeLetter(ctx context.Context, f *engine.Failure, r *transport.Record, done func(error)) {
	producer, err := g.bus.letterProducer()
	if err != nil {
		done(err)
		return
	}
	letter := &letterCompletion{g.signals.StartLetter(f, r), done}
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
	headers := make([]transport.Header, 0, len(r.Headers)+12)
	for _, h := range r.Headers {
		if !strings.HasPrefix(h.Key, letter.Prefix) { // of an earlier death
			headers = append(headers, h)
		}
	}
	add := func(key, value string) {
		headers = append(headers, transport.Header{Key: key, Value: []byte(value)})
	}
	add(letter.Reason, f.Reason)
	if f.Err != nil {
		add(letter.Error, telemetry.Clipped(f.Err.Error(), telemetry.MaxErrorText))
	}
	add(letter.Topic, r.Topic)
	add(letter.Partition, strconv.Itoa(int(r.Partition)))
	add(letter.Offset, strconv.FormatInt(r.Offset, 10))
	if wire.CheckTime(r.Time) == nil && !r.Time.IsZero() { // a foreign timestamp may be any
		add(letter.Time, r.Time.UTC().Format(time.RFC3339Nano))
	}
	add(letter.Group, g.name)
	add(letter.Attempts, strconv.Itoa(f.Attempts))
	add(letter.FirstFailure, f.First.UTC().Format(time.RFC3339Nano))
	add(letter.LastFailure, f.Last.UTC().Format(time.RFC3339Nano))
	if x := r.Excess; x != nil {
		add(letter.Bytes, strconv.Itoa(x.Bytes))
		if x.Headers >= 0 {
			add(letter.HeaderCount, strconv.Itoa(x.Headers))
		}
		if x.Value {
			add(letter.Missing, letter.MissingValue)
		}
	}
	if len(f.Stack) > 0 {
		add(letter.Stack, telemetry.Clipped(string(f.Stack), telemetry.MaxStackText))
	}
	return &transport.Record{Topic: t.letters.topic, Partition: r.Partition % n, Key: r.Key, Value: r.Value, Headers: headers}, nil
}

// letterPartitions returns the number of partitions of a dead-letter topic,
// which it asks for once.
func (b *Bus) letterPartitions(ctx context.Context, box *letterBox) (int32, error) {
	if n := box.partitions.Load(); n > 0 {
		return n, nil
	}
	ctx, cancel := context.WithTimeout(ctx, letterLookup)
	defer cancel()
	infos, err := b.transport.Admin().Topics(ctx, box.topic)
	if err != nil {
		return 0, err
	}
	if infos[0].Err != nil {
		return 0, infos[0].Err
	}
	box.partitions.Store(infos[0].Partitions)
	return infos[0].Partitions, nil
}

const letterLookup = 10 * time.Second
