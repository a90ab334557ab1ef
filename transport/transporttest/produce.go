package transporttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// produceTests check what a Producer promises about order, memory and closing.
var produceTests = []test{
	{"Positions", testProducePositions},
	{"Order", testProduceOrder},
	{"Concurrency", testProduceConcurrency},
	{"SmallBuffer", testProduceSmallBuffer},
	{"MemoryIsTheCallers", testProduceMemory},
	{"ContextEnds", testProduceContextEnds},
	{"Flush", testProduceFlush},
	{"CloseFlushes", testProduceCloseFlushes},
	{"AfterClose", testProduceAfterClose},
}

// testProducePositions: an acknowledgement has the record's partition, its offset,
// counted per partition from 0, and the time that the log has for it. A position that
// was made up before the broker answered would show here.
func testProducePositions(r *run) {
	topic := r.topic(2)
	p := r.producer(transport.ProducerConfig{})
	// Cut, because the log keeps whole milliseconds and the record may be written in this one.
	before := time.Now().Truncate(time.Millisecond)
	for n := range 5 {
		got := r.produce(p, transport.Record{Topic: topic, Partition: 1, Value: []byte("v")})
		if got.Partition != at(topic, 1) || got.Offset != int64(n) {
			r.Errorf("record %d is at %v, offset %d", n, got.Partition, got.Offset)
		}
		if got.Time.Before(before) || got.Time.After(time.Now()) {
			r.Errorf("record %d has time %v, which the producer's clock did not show", n, got.Time)
		}
	}
	// A counter of the producer's own, not of the partition, would say 5.
	if got := r.produce(p, transport.Record{Topic: topic, Partition: 0}); got.Offset != 0 {
		r.Errorf("the first record of another partition is at offset %d", got.Offset)
	}
}

// testProduceOrder: records of a partition lie in its log in the order of Produce,
// without waiting for acknowledgements in between.
func testProduceOrder(r *run) {
	const n = 500
	topic := r.topic(2)
	p := r.producer(transport.ProducerConfig{})
	sent := make([]*hearing, n)
	for i := range n {
		// Two partitions in turn: batches of both are under way side by side.
		sent[i] = r.send(p, transport.Record{Topic: topic, Partition: int32(i % 2), Value: fmt.Append(nil, i)})
	}
	for i, h := range sent {
		// The acknowledged offset is that of the record itself. A batch's base offset for each
		// of its records would do for the first alone.
		if got, err := h.wait(); err != nil || got.Offset != int64(i/2) {
			r.Fatalf("record %d is at offset %d, want %d: %v", i, got.Offset, i/2, err)
		}
	}
	// The log has the last word: the acknowledgements could be in order without it.
	for i, record := range r.read(at(topic, 1), n/2) {
		if string(record.Value) != fmt.Sprint(2*i+1) {
			r.Fatalf("offset %d has record %s", i, record.Value)
		}
	}
}

// testProduceConcurrency: goroutines share a producer, and the records of each keep their order.
// The order among goroutines is unspecified.
func testProduceConcurrency(r *run) {
	const goroutines, each = 8, 100
	topic := r.topic(1)
	p := r.producer(transport.ProducerConfig{})
	var producers sync.WaitGroup
	for g := range goroutines {
		producers.Go(func() {
			for i := range each {
				// A completion for each record, though only the last is waited for: hearing reports one
				// that is called twice.
				h := r.hear()
				record := transport.Record{Topic: topic, Partition: 0, Key: fmt.Append(nil, g), Value: fmt.Append(nil, i)}
				ctx, cancel := r.patience()
				err := p.Produce(ctx, &record, h)
				if err == nil && i == each-1 {
					// The last acknowledgement stands for all before it: completions of one partition
					// come in order.
					_, err = h.wait()
				}
				cancel()
				if err != nil {
					r.Errorf("goroutine %d, record %d: %v", g, i, err)
					return
				}
			}
		})
	}
	producers.Wait()
	next := make(map[string]int)
	for _, record := range r.read(at(topic, 0), goroutines*each) {
		if want := fmt.Sprint(next[string(record.Key)]); string(record.Value) != want {
			r.Fatalf("goroutine %s: record %s where %s should be", record.Key, record.Value, want)
		}
		next[string(record.Key)]++
	}
}

// testProduceSmallBuffer: at the bound Produce waits for room, and goes on.
// One bound counts records, the other their bytes.
func testProduceSmallBuffer(r *run) {
	// A producer that counts room down and not up again stops at the bound; one that gives
	// room back before the outcome exceeds it, which this does not show.
	for _, config := range []transport.ProducerConfig{{BufferRecords: 3}, {BufferBytes: 500}} {
		topic := r.topic(1)
		r.fillWith(r.producer(config), topic, 0, 300)
		if got := r.read(at(topic, 0), 300); string(got[299].Value) != "299" {
			r.Errorf("%+v: the last record is %s", config, got[299].Value)
		}
	}
}

// testProduceMemory: nothing of a record is kept or changed once Produce has returned,
// so that callers can use its memory again. A transport that sends the caller's own
// slices writes what they hold later.
func testProduceMemory(r *run) {
	topic := r.topic(1)
	p := r.producer(transport.ProducerConfig{})
	record := transport.Record{
		Topic: topic, Partition: 0,
		Key: []byte("key"), Value: []byte("value"), Headers: []transport.Header{{Key: "h", Value: []byte("header")}},
	}
	header := record.Headers[0].Value
	h := r.hear()
	r.within("Produce", func(ctx context.Context) error { return p.Produce(ctx, &record, h) })
	// Position and time belong to the acknowledgement: the caller may send the same Record
	// again, and would find them in it.
	if string(record.Key) != "key" || record.Offset != 0 || !record.Time.IsZero() || record.Partition != 0 {
		r.Errorf("Produce changed the record: %+v", record)
	}
	// Overwritten while the record may still be in the producer's buffer.
	clear(record.Key)
	clear(record.Value)
	clear(header)
	clear(record.Headers)
	if _, err := h.wait(); err != nil {
		r.Fatalf("producing: %v", err)
	}
	got := r.read(at(topic, 0), 1)[0]
	if v, _ := got.Header("h"); string(got.Key) != "key" || string(got.Value) != "value" || string(v) != "header" {
		r.Errorf("the log has %+v, changed after Produce had returned", got)
	}
}

// testProduceContextEnds: what was accepted is sent even when the context ends.
func testProduceContextEnds(r *run) {
	topic := r.topic(1)
	p := r.producer(transport.ProducerConfig{})
	r.produce(p, transport.Record{Topic: topic, Partition: 0})
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	h := r.hear()
	if err := p.Produce(ctx, &transport.Record{Topic: topic, Partition: 0}, h); err != nil {
		r.Fatalf("Produce: %v", err)
	}
	// A producer that ties the record to ctx drops it now.
	cancel()
	if got, err := h.wait(); err != nil || got.Offset != 1 {
		r.Errorf("the context ended after Produce: offset %d, %v", got.Offset, err)
	}
}

// testProduceFlush: completions have been called when Flush returns.
func testProduceFlush(r *run) {
	topic := r.topic(3)
	p := r.producer(transport.ProducerConfig{})
	// Nothing is on its way, so there is nothing to wait for.
	r.within("Flush of nothing", p.Flush)
	sent := make([]*hearing, 300)
	for i := range sent {
		sent[i] = r.send(p, transport.Record{Topic: topic, Partition: int32(i % 3)})
	}
	r.within("Flush", p.Flush)
	for i, h := range sent {
		// Not waited for: Flush has returned, so the outcome must be there already.
		if h.calls.Load() != 1 {
			r.Errorf("Flush returned, record %d has no outcome", i)
		}
	}
}

// testProduceCloseFlushes: Close delivers what was accepted before it returns. A
// service that is stopped would else lose what it published last.
func testProduceCloseFlushes(r *run) {
	topic := r.topic(1)
	p, err := r.NewProducer(transport.ProducerConfig{})
	if err != nil {
		r.Fatalf("NewProducer: %v", err)
	}
	sent := make([]*hearing, 100)
	for i := range sent {
		sent[i] = r.send(p, transport.Record{Topic: topic, Partition: 0})
	}
	r.within("Close", p.Close)
	for i, h := range sent {
		if h.calls.Load() != 1 {
			r.Fatalf("Close returned, record %d has no outcome", i)
		}
		// Close completes what it could not deliver with ErrClosed: that is an outcome too, and
		// not the one that is promised while the cluster answers.
		if _, err := h.wait(); err != nil {
			r.Errorf("record %d: %v", i, err)
		}
	}
}

// testProduceAfterClose: a closed producer refuses records and calls no completion.
func testProduceAfterClose(r *run) {
	topic := r.topic(1)
	// Not by r.producer: the test closes this one itself.
	p, err := r.NewProducer(transport.ProducerConfig{})
	if err != nil {
		r.Fatalf("NewProducer: %v", err)
	}
	r.within("Close", p.Close)
	r.refused(p, transport.Record{Topic: topic, Partition: 0}, func(err error) bool { return errors.Is(err, transport.ErrClosed) })
}
