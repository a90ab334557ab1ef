package transporttest

import (
	"context"
	"errors"
	"sync"

	"github.com/eventbus-go/eventbus/transport"
)

// refusalTests check how a Producer refuses records: with an error at once and without any
// effect, or by an outcome that says that the record is not in the log.
var refusalTests = []test{
	{"TooLarge", testRefusalTooLarge},
	{"TooLargeForTopic", testRefusalTooLargeForTopic},
	{"TopicMissing", testRefusalTopicMissing},
	{"Gate", testRefusalGate},
}

// refused checks that Produce returns the error itself, and calls no completion.
func (r *run) refused(p transport.Producer, record transport.Record, is func(error) bool) {
	r.Helper()
	ctx, cancel := r.patience()
	defer cancel()
	h := r.hear()
	if err := p.Produce(ctx, &record, h); !is(err) {
		r.Errorf("Produce returned %v", err)
	}
	// A caller that got the error and an outcome would count the record twice.
	if h.calls.Load() != 0 {
		r.Error("a refused record has an outcome")
	}
}

// testRefusalTooLarge: a record above BatchBytes is refused before it is accepted, by an
// error with both sizes, and those after it are not held up.
func testRefusalTooLarge(r *run) {
	topic := r.topic(1)
	p := r.producer(transport.ProducerConfig{BatchBytes: 10_000})
	r.produce(p, transport.Record{Topic: topic, Partition: 0, Value: make([]byte, 9_000)})
	r.refused(p, transport.Record{Topic: topic, Partition: 0, Value: make([]byte, 20_000)}, func(err error) bool {
		var large *transport.TooLargeError
		// At least 20,000: how much the encoding adds is the transport's to count.
		return errors.Is(err, transport.ErrTooLarge) && errors.As(err, &large) && large.Size >= 20_000 && large.Limit == 10_000
	})
	if got := r.produce(p, transport.Record{Topic: topic, Partition: 0}); got.Offset != 1 {
		r.Errorf("after a record that is too large the next is at offset %d, want 1", got.Offset)
	}
}

// testRefusalTooLargeForTopic: the broker's refusal is the same error, for that
// record alone.
func testRefusalTooLargeForTopic(r *run) {
	topic := r.topicWith(transport.TopicSpec{Partitions: 1, Configs: map[string]string{"max.message.bytes": "2000"}})
	p := r.producer(transport.ProducerConfig{})
	r.produce(p, transport.Record{Topic: topic, Partition: 0, Value: make([]byte, 1_000)})
	// Below BatchBytes, so only the broker knows. The small one follows without waiting and
	// may share its batch: it must not share its fate.
	large := r.send(p, transport.Record{Topic: topic, Partition: 0, Value: make([]byte, 5_000)})
	small := r.send(p, transport.Record{Topic: topic, Partition: 0, Value: make([]byte, 1_000)})
	// The broker has answered, so the outcome is known: the record is not in the log.
	if _, err := large.wait(); !errors.Is(err, transport.ErrTooLarge) || errors.Is(err, transport.ErrOutcomeUnknown) {
		r.Errorf("the large record: %v, want ErrTooLarge", err)
	}
	if got, err := small.wait(); err != nil || got.Offset != 1 {
		r.Errorf("the small record after it is at offset %d, want 1: %v", got.Offset, err)
	}
}

// testRefusalTopicMissing: the producer creates no topic.
func testRefusalTopicMissing(r *run) {
	topic := r.name("missing")
	p := r.producer(transport.ProducerConfig{})
	// Kafka creates a topic at the first request for its metadata if that allows it: the
	// second record would find it.
	for range 2 {
		r.refused(p, transport.Record{Topic: topic, Partition: transport.AnyPartition}, func(err error) bool {
			return errors.Is(err, transport.ErrTopicMissing)
		})
	}
	if info := r.describe(topic); !errors.Is(info.Err, transport.ErrTopicMissing) {
		r.Errorf("the topic is there now: %+v", info)
	}
}

// gate refuses on demand, and counts. mu guards the other fields: a producer calls a gate
// concurrently.
type gate struct {
	mu       sync.Mutex
	refusal  error
	asked    int
	reported []error
}

// Allow implements transport.Gate.
func (g *gate) Allow(int32) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	return g.refusal
}

// Report implements transport.Gate.
func (g *gate) Report(_ int32, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reported = append(g.reported, err)
}

// testRefusalGate: a gate is asked once for each record and told how requests end. What
// it refuses is returned as it is, and leaves no gap in the log.
func testRefusalGate(r *run) {
	topic := r.topic(1)
	g := new(gate)
	p := r.producer(transport.ProducerConfig{Gate: g})
	r.produce(p, transport.Record{Topic: topic, Partition: 0})
	// The report may come after the acknowledgement, but not after Flush.
	r.within("Flush", func(ctx context.Context) error { return p.Flush(ctx) })

	g.mu.Lock()
	// The last report counts: a new connection that failed may have been reported before.
	if g.asked != 1 || len(g.reported) == 0 || g.reported[len(g.reported)-1] != nil {
		r.Errorf("one record: the gate was asked %d times, and heard %v", g.asked, g.reported)
	}
	refusal := errors.New("not now")
	g.refusal = refusal
	g.mu.Unlock()

	// The very error, not one that wraps it, as Gate promises.
	r.refused(p, transport.Record{Topic: topic, Partition: 0}, func(err error) bool { return err == refusal })

	g.mu.Lock()
	g.refusal = nil
	g.mu.Unlock()
	if got := r.produce(p, transport.Record{Topic: topic, Partition: 0}); got.Offset != 1 {
		r.Errorf("after a refusal the next record is at offset %d, want 1", got.Offset)
	}
}
