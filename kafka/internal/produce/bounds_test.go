package produce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// TestProduceFull: Produce waits for room within its context, in order, and goes
// on when there is room.
func TestProduceFull(t *testing.T) {
	for name, cfg := range map[string]transport.ProducerConfig{
		"records": {BufferRecords: 2},
		"bytes":   {BufferBytes: 2*(&transport.Record{Value: []byte("x")}).Size() + 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := bed.NewBubble(t, 1)
				p := startProducer(b, cfg)
				gate := hold(b)
				dones := []bed.Receipt{b.Publish(p, 0, "1")}
				<-gate.held
				dones = append(dones, b.Publish(p, 0, "2"))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				err := p.Produce(ctx, &transport.Record{Topic: "events", Value: []byte("x")}, nil)
				if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, transport.ErrBufferFull) {
					t.Errorf("Produce into a full buffer: %v, want the deadline", err)
				}
				if waited := time.Since(begun); waited != time.Second {
					t.Errorf("it waited %v, want a second", waited)
				}
				third := make(bed.Receipt, 1)
				accepted := make(chan error, 1)
				go func() {
					accepted <- p.Produce(context.Background(), &transport.Record{Topic: "events", Value: []byte("3")}, third)
				}()
				synctest.Wait()
				if len(accepted) > 0 {
					t.Errorf("a third record was accepted: %v", <-accepted)
				}
				close(gate.release)
				if err := <-accepted; err != nil {
					t.Errorf("Produce after room was made: %v", err)
				}
				for _, done := range append(dones, third) {
					b.Delivered(done)
				}
				if bytes, records := p.credit.bytes.Load(), p.credit.records.Load(); bytes != 0 || records != 0 {
					t.Errorf("%d bytes and %d records are never given back", bytes, records)
				}
			})
		})
	}
}

// TestRoom acquires and releases credit concurrently; counters may briefly exceed
// the bounds. No caller waits indefinitely, and no credit is lost.
func TestRoom(t *testing.T) {
	r := &credit{maxBytes: 100, maxRecords: 7, closed: make(chan struct{})}
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			n := int64(g%5*20 + 10)
			for range 500 {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if g%4 == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Microsecond)
				}
				if err := r.acquire(ctx, n); err == nil {
					if used := r.records.Load(); used < 1 {
						t.Errorf("%d records hold room though one was given", used)
					}
					r.release(n, 1)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if r.bytes.Load() != 0 || r.records.Load() != 0 || len(r.queue) != 0 || r.waiters.Load() != 0 {
		t.Errorf("%d bytes, %d records and %d waiters are left", r.bytes.Load(), r.records.Load(), len(r.queue))
	}
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 3)
		p := startProducer(b, transport.ProducerConfig{})
		if err := p.Flush(t.Context()); err != nil {
			t.Errorf("with nothing accepted: %v", err)
		}
		gate := hold(b)
		var c bed.Counted
		for i := range 30 {
			if err := p.Produce(t.Context(), &transport.Record{Topic: "events", Partition: int32(i % 3)}, &c); err != nil {
				t.Fatal(err)
			}
		}
		<-gate.held
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while the broker is silent: %v, want the deadline", err)
		}
		flushed := make(chan error)
		go func() { flushed <- p.Flush(context.Background()) }()
		close(gate.release)
		if err := <-flushed; err != nil || c.N.Load() != 30 {
			t.Errorf("%v with %d of 30 outcomes", err, c.N.Load())
		}
	})
}

// TestProducerCloseGivesUp: Close fails what is left when its context ends, says
// of each record whether it may have been written, and leaves nothing running.
func TestProducerCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		p := startProducer(b, transport.ProducerConfig{BufferRecords: 2})
		gate := hold(b)
		defer close(gate.release)
		sent := b.Publish(p, 0, "sent")
		<-gate.held
		queued := b.Publish(p, 0, "queued")
		blocked := make(chan error, 1)
		go func() { blocked <- p.Produce(context.Background(), &transport.Record{Topic: "events"}, nil) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v, want the deadline", err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("Close took %v, want a second", took)
		}
		if err := b.Wait(sent); !errors.Is(err, transport.ErrClosed) || !errors.Is(err, transport.ErrOutcomeUnknown) {
			t.Errorf("what was sent: %v, want closed and unknown", err)
		}
		if err := b.Wait(queued); !errors.Is(err, transport.ErrClosed) || errors.Is(err, transport.ErrOutcomeUnknown) {
			t.Errorf("what was queued: %v, want closed and known", err)
		}
		if err := <-blocked; !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Produce that waited for room: %v, want closed", err)
		}
	})
}

// recordedGate records the calls of its methods.
type recordedGate struct {
	mu      sync.Mutex
	refuse  error
	asked   []int32
	reports []error
	bad     chan struct{} // closed by the first report of an error, if not nil
}

func (g *recordedGate) Allow(broker int32) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, broker)
	return g.refuse
}

func (g *recordedGate) Report(_ int32, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reports = append(g.reports, err)
	if err != nil && g.bad != nil {
		close(g.bad)
		g.bad = nil
	}
}

func TestProduceGate(t *testing.T) {
	b := bed.NewBed(t, 1)
	gate := &recordedGate{}
	p := startProducer(b, transport.ProducerConfig{Gate: gate})
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: franzerr.NotEnoughReplicas})
	b.Delivered(b.Publish(p, 0, "a"))
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: franzerr.TopicAuthorizationFailed})
	if err := b.Wait(b.Publish(p, 0, "b")); err == nil {
		t.Error("an unauthorised record was delivered")
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	gate.mu.Lock()
	if want := []error{kerr.NotEnoughReplicas, nil, nil}; !slices.Equal(gate.reports, want) {
		t.Errorf("the gate was told %v, want %v", gate.reports, want)
	}
	if want := []int32{b.LeaderFor("events", 0), b.LeaderFor("events", 0)}; !slices.Equal(gate.asked, want) {
		t.Errorf("the gate was asked for %v, want %v", gate.asked, want)
	}
	gate.refuse = errors.New("open")
	gate.mu.Unlock()
	if err := p.Produce(t.Context(), &transport.Record{Topic: "events"}, nil); err != gate.refuse {
		t.Errorf("a refused record: %v, want %v", err, gate.refuse)
	}
}

// TestProduceThrottled: nothing is sent to a broker while it throttles.
func TestProduceThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		p := startProducer(b, transport.ProducerConfig{})
		b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			resp := req.ResponseKind().(*kmsg.ProduceResponse)
			topic := kmsg.NewProduceResponseTopic()
			topic.TopicID = req.(*kmsg.ProduceRequest).Topics[0].TopicID
			topic.Partitions = append(topic.Partitions, kmsg.NewProduceResponseTopicPartition())
			resp.Topics = append(resp.Topics, topic)
			resp.ThrottleMillis = 3000
			return resp, nil, true
		})
		b.Delivered(b.Publish(p, 0, "a"))
		begun := time.Now()
		if err := b.Wait(b.Publish(p, 0, "b")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 2900*time.Millisecond || took > 3100*time.Millisecond {
			t.Errorf("the next request came after %v, want 3 s", took)
		}
		if d := time.Duration(bedclient.Of(b).Throttled.Load()); d != 3*time.Second {
			t.Errorf("%v of throttling are counted, want 3 s", d)
		}
	})
}

// TestProduceGathers: while a partition has a batch in flight, later records are
// collected, and one request carries the ready batches of all partitions.
func TestProduceGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 4)
		p := startProducer(b, transport.ProducerConfig{})
		b.Delivered(b.Publish(p, 0, "warm"))
		gate := hold(b)
		dones := []bed.Receipt{b.Publish(p, 0, "first")}
		<-gate.held
		var mu sync.Mutex
		var requests []string
		b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			for _, part := range req.(*kmsg.ProduceRequest).Topics[0].Partitions {
				_, records, _ := bed.DecodeBatch(t, part.Records)
				requests = append(requests, fmt.Sprintf("%d: %d records", part.Partition, len(records)))
			}
			return nil, nil, false
		})
		for range 10 {
			dones = append(dones, b.Publish(p, 0, "x"))
		}
		close(gate.release)
		for _, done := range dones {
			b.Delivered(done)
		}
		mu.Lock()
		defer mu.Unlock()
		// The test broker shows the held request a second time.
		if want := []string{"0: 1 records", "0: 10 records"}; !slices.Equal(requests, want) {
			t.Errorf("what came during a round trip was sent as %q, want %q", requests, want)
		}
	})
}

// TestProduceSlowBroker: a partition doesn't wait for the answer to another for
// longer than a moment.
func TestProduceSlowBroker(t *testing.T) {
	b := bed.NewBed(t, 2)
	p := startProducer(b, transport.ProducerConfig{})
	b.Delivered(b.Publish(p, 1, "warm"))
	silent := make(chan struct{})
	b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(silent)
		return nil, nil, true // no answer, for RequestTimeout
	})
	stuck := b.Publish(p, 0, "stuck")
	<-silent
	b.Delivered(b.Publish(p, 1, "quick"))
	select {
	case err := <-stuck:
		t.Errorf("the request without an answer ended: %v", err)
	default:
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Close(ctx)
}

// TestProduceGateConnections: a connection that has died says nothing about its
// broker; one that can't be established does.
func TestProduceGateConnections(t *testing.T) {
	b := bed.NewBed(t, 1, kfake.NumBrokers(1))
	gate := &recordedGate{}
	p := startProducer(b, transport.ProducerConfig{Gate: gate})
	b.Delivered(b.Publish(p, 0, "before"))
	address := b.ListenAddrs()[0]
	b.Wires.SetDown(address, true)
	b.Wires.SetDown(address, false)
	b.Delivered(b.Publish(p, 0, "after the connections have died"))
	if reports := gate.told(); slices.ContainsFunc(reports, func(err error) bool { return err != nil }) {
		t.Errorf("the gate was told %v though the broker was there", reports)
	}
	bad := make(chan struct{})
	gate.mu.Lock()
	gate.bad = bad
	gate.mu.Unlock()
	b.Wires.SetDown(address, true)
	late := b.Publish(p, 0, "the broker is out of reach")
	select {
	case <-bad:
	case <-time.After(time.Minute):
		t.Error("the gate was not told that the broker is out of reach")
	}
	b.Wires.SetDown(address, false)
	b.Delivered(late)
}

func (g *recordedGate) told() []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.reports)
}
