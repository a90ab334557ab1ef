package eventbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// DeadLetterTopic sets the name of the topic to which the group's failures on the topic are
// written, in place of {topic}.{group}.dlq. It is a full name in which {env} stands for the
// environment's segment, {topic} for the full name of the handled topic, and {group} for the
// group: DeadLetterTopic("{topic}-dlt").
//
// Several groups and topics may share one: each letter says whose it is and through which
// retry topic it comes back. The bus creates and requires it as it does the derived one.
// Subscriptions of one topic and group must agree.
func DeadLetterTopic(name string) SubscribeOption {
	return lettersIn("DeadLetterTopic", name, func(s *subscribeSettings) **string { return &s.dead })
}

// RetryTopic sets the name of the topic through which the group's dead letters are
// redelivered, in place of {topic}.{group}.retry, with the same placeholders as
// [DeadLetterTopic].
//
// A retry topic belongs to one handled topic, since the member that owns a partition of
// that topic reads the partition of the same number here. The groups of one topic may share
// it if all of them choose it: each handles only what is redelivered to itself.
// Subscriptions of one topic and group must agree.
//
// Before changing or removing the name, replay or skip all letters that are open or in
// quarantine, and let the group handle the former retry topic to its end. Letters return
// through the topic chosen when they were written, or through the derived one if none was
// chosen, and nobody reads the former topic afterwards. Update the tool and consoles before
// choosing a name for the first time: earlier versions assume the derived one.
func RetryTopic(name string) SubscribeOption {
	return lettersIn("RetryTopic", name, func(s *subscribeSettings) **string { return &s.retryTopic })
}

func lettersIn(option, name string, setting func(*subscribeSettings) **string) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if err := naming.CheckChosen(name); err != nil {
			s.fault("%s(%q): %w", option, name, err)
			return
		}
		*setting(s) = &name
	})
}

// letterTopics are the topics for a group's failures on one topic.
type letterTopics struct {
	naming.Letters
	chosen bool // not the derived names, so letters say where they come back
}

// checkLetters returns the topics for a group's failures on a topic, and an error that names
// everything wrong with them. The caller holds mu.
func (b *Bus) checkLetters(topic, group string, shared *sharedSettings) (naming.Letters, error) {
	own := naming.ChosenLetters(b.config.env, topic, group, shared.dead.value, shared.retry.value)
	wrong := []error{own.Check(topic, group)}
	taken := []string{topic}
	for name := range b.topics.names {
		taken = append(taken, name)
	}
	chosen := !own.Derived(topic, group)
	for _, role := range []struct{ name, what, pattern string }{
		{own.Dead, "dead-letter topic", shared.dead.value}, {own.Retry, "retry topic", shared.retry.value},
	} {
		if env := naming.OtherEnvironment(role.name, b.config.env); env != "" && role.pattern != "" && !strings.HasPrefix(role.pattern, naming.TopicMark) {
			wrong = append(wrong, fmt.Errorf("%s %s is one of the environment %s, and the bus is in %s: write %s in its name", role.what, role.name, env, b.config.env, naming.EnvironmentMark))
		}
		if chosen && slices.Contains(taken, role.name) {
			wrong = append(wrong, fmt.Errorf("%s %s of group %q on %s is a topic of events, which the bus has too: choose another name", role.what, role.name, group, topic))
		}
	}
	for _, g := range b.groups {
		for _, t := range g.topics {
			if g.name == group && t.name == topic {
				continue
			}
			taken = append(taken, t.letters.Dead, t.letters.Retry)
			of := fmt.Sprintf("group %q on %s", g.name, t.name)
			if own.Dead == t.letters.Retry {
				wrong = append(wrong, fmt.Errorf("dead-letter topic %s of group %q on %s is the retry topic of %s: choose another name", own.Dead, group, topic, of))
			}
			switch {
			case own.Retry == t.letters.Dead:
				wrong = append(wrong, fmt.Errorf("retry topic %s of group %q on %s is the dead-letter topic of %s: choose another name", own.Retry, group, topic, of))
			case own.Retry != t.letters.Retry:
			case t.name != topic:
				wrong = append(wrong, fmt.Errorf("retry topic %s of group %q on %s is that of %s too: one goes with the partitions of a single topic, so write %s in its name", own.Retry, group, topic, of, naming.TopicMark))
			case !chosen || !t.letters.chosen:
				wrong = append(wrong, fmt.Errorf("retry topic %s of group %q on %s is that of %s too: both have to choose it to share it", own.Retry, group, topic, of))
			}
		}
	}
	return own, errors.Join(append(wrong, naming.CheckCollisions(append(taken, own.Dead), own.Dead, own.Retry))...)
}

// refuseLetterName returns an error if name, of a topic of events, was chosen for letters.
// The caller holds mu.
func (b *Bus) refuseLetterName(name string) error {
	for _, g := range b.groups {
		for _, t := range g.topics {
			if t.letters.chosen && (name == t.letters.Dead || name == t.letters.Retry) {
				return fmt.Errorf("topic %s is for the failures of group %q on %s by DeadLetterTopic or RetryTopic: choose another name for these", name, g.name, t.name)
			}
		}
	}
	return nil
}

// deadLetter writes a failed record to the dead-letter topic, with its key, value and headers
// unchanged. It calls done with the outcome of the write.
func (g *group) deadLetter(ctx context.Context, f *engine.Failure, done func(error)) {
	t := g.routes[f.Record.Topic]
	r, err := g.letter(ctx, t, f)
	if err != nil {
		done(err)
		return
	}
	g.writeLetter(ctx, f, r, func(err error) {
		if err != nil {
			t.letterPartitions.Store(0) // the topic may have been recreated
		}
		if !errors.Is(err, ErrTooLarge) {
			done(err)
			return
		}
		// With the added headers it is larger than the topic allows: write it once more
		// with only those needed to find the origin. This is the producer's goroutine, so
		// use another.
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

// writeLetter passes a letter to the producer. done is called with the outcome by the
// producer's goroutine, or before writeLetter returns if the letter is refused.
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

// letter returns the record of a dead letter. Its partition follows from its origin's, so
// that the letters of a key stay in one partition, in order.
func (g *group) letter(ctx context.Context, t *groupTopic, f *engine.Failure) (*transport.Record, error) {
	n, err := g.bus.letterPartitions(ctx, t)
	if err != nil {
		return nil, err
	}
	r := f.Record
	// Leave room for the headers added below: one allocation.
	headers := make([]transport.Header, 0, len(r.Headers)+12)
	for _, h := range r.Headers {
		// A redelivered record has the headers of its earlier letter.
		if !strings.HasPrefix(h.Key, letter.Prefix) {
			headers = append(headers, h)
		}
	}
	var failure, written, bytes, count, missing, retry, stack []byte // nil: no such header
	if f.Err != nil {
		failure = []byte(telemetry.Clipped(f.Err.Error(), telemetry.MaxErrorText))
	}
	if wire.CheckTime(r.Time) == nil && !r.Time.IsZero() { // a foreign timestamp may be anything
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
	if t.letters.chosen {
		retry = []byte(t.letters.Retry)
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
		{Key: letter.Retry, Value: retry},
		{Key: letter.Stack, Value: stack},
	} {
		if h.Value != nil {
			headers = append(headers, h)
		}
	}
	// The letter topic may have fewer partitions than the source.
	return &transport.Record{Topic: t.letters.Dead, Partition: r.Partition % n, Key: r.Key, Value: r.Value, Headers: headers}, nil
}

// number and stamp format numbers and times for the headers of dead letters.
func number(n int64) []byte { return strconv.AppendInt([]byte{}, n, 10) }

func stamp(t time.Time) []byte { return t.UTC().AppendFormat([]byte{}, time.RFC3339Nano) }

// letterPartitions returns the number of partitions of a dead-letter topic. It asks the
// cluster once, and again after a letter could not be written.
func (b *Bus) letterPartitions(ctx context.Context, to *groupTopic) (int32, error) {
	// A topic keeps its partitions or gets more, so an old number stays valid unless the topic
	// was deleted and created again with fewer.
	if n := to.letterPartitions.Load(); n > 0 {
		return n, nil
	}
	ctx, cancel := context.WithTimeout(ctx, letterLookup)
	defer cancel()
	infos, err := b.transport.Admin().Topics(ctx, to.letters.Dead)
	if err != nil {
		return 0, err
	}
	if infos[0].Err != nil {
		return 0, infos[0].Err
	}
	if infos[0].Partitions < 1 {
		return 0, fmt.Errorf("topic %s has %d partitions by what the brokers say", to.letters.Dead, infos[0].Partitions)
	}
	to.letterPartitions.Store(infos[0].Partitions)
	return infos[0].Partitions, nil
}

// letterLookup bounds the request for the letter topic, during which a key waits.
const letterLookup = 10 * time.Second
