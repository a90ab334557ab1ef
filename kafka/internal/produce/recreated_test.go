package produce

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eventbus-go/eventbus/internal/murmur2"
	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/transport"
)

// recreate deletes "events" and creates it again.
func recreate(b *bed.Bed, partitions int32) {
	b.T.Helper()
	if err := b.DeleteTopic("events"); err != nil {
		b.T.Fatal(err)
	}
	if err := b.CreateTopic("events", partitions, nil); err != nil {
		b.T.Fatal(err)
	}
}

// publishKeys publishes a record of each of 30 keys and returns how many were
// delivered.
func publishKeys(b *bed.Bed, p *Producer) (delivered int) {
	b.T.Helper()
	for i := range 30 {
		done := make(bed.Receipt, 1)
		r := &transport.Record{Topic: "events", Partition: transport.AnyPartition, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)}
		err := p.Produce(b.T.Context(), r, done)
		if err == nil {
			err = b.Wait(done)
		}
		if err == nil {
			delivered++
		} else if !errors.Is(err, transport.ErrTopicMissing) || errors.Is(err, transport.ErrOutcomeUnknown) {
			b.T.Errorf("key %d: %v", i, err)
		}
	}
	return delivered
}

// TestProduceTopicRecreated: a topic is deleted and created with fewer partitions.
// The first record to notice may fail with an error; from then on keys are spread
// over the topic's partitions, and each record is where its key belongs.
func TestProduceTopicRecreated(t *testing.T) {
	for name, opts := range map[string][]kfake.Opt{
		"requests by id":   nil,
		"requests by name": {kfake.MaxVersions(kversion.V3_6_0())},
	} {
		t.Run(name, func(t *testing.T) {
			bed.Bubble(t, 6, func(t *testing.T, b *bed.Bed) {
				p := startProducer(b, transport.ProducerConfig{})
				if n := publishKeys(b, p); n != 30 {
					t.Fatalf("%d of 30 keys delivered at first", n)
				}
				recreate(b, 2)
				begun := time.Now()
				if n := publishKeys(b, p); n < 29 {
					t.Errorf("%d of 30 keys delivered to the next topic of the name, want all but one", n)
				}
				if took := time.Since(begun); took > missingGrace {
					t.Errorf("that took %v", took)
				}
				if n := publishKeys(b, p); n != 30 {
					t.Errorf("%d of 30 keys delivered afterwards", n)
				}
				where := make(map[string]map[int32]bool)
				for part := range int32(2) {
					for _, v := range b.Log(part)[1:] { // what found it out may be anywhere
						if where[v] == nil {
							where[v] = make(map[int32]bool)
						}
						where[v][part] = true
					}
				}
				for v, in := range where {
					if want := murmur2.Partition([]byte(v), 2); !in[want] {
						t.Errorf("key %s is in partitions %v, want %d", v, in, want)
					}
				}
				if err := p.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}, opts...)
		})
	}
}

// TestProduceTopicRecreatedIdle: an idle producer that knows the old topic does not
// write its next record into the new topic by the old layout.
func TestProduceTopicRecreatedIdle(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		p := startProducer(b, transport.ProducerConfig{})
		b.Delivered(b.Publish(p, 0, "old"))
		recreate(b, 3)
		b.Delivered(b.Publish(p, 0, "new"))
		if n := p.topicNamed("events").layout.Load().n; n != 3 {
			t.Errorf("the producer knows %d partitions, want 3", n)
		}
		if got, want := b.Log(0), []string{"new"}; !slices.Equal(got, want) {
			t.Errorf("the log holds %q, want %q", got, want)
		}
	})
}

// topicNamed returns a topic that the producer knows.
func (p *Producer) topicNamed(name string) *producerTopic { return (*p.topics.Load())[name] }

// TestProduceLateMetadata: an answer from a broker that doesn't know the latest
// partitions yet removes none.
func TestProduceLateMetadata(t *testing.T) {
	bed.Bubble(t, 3, func(t *testing.T, b *bed.Bed) {
		p := startProducer(b, transport.ProducerConfig{})
		b.Delivered(b.Publish(p, 2, "x"))
		meta := *bedclient.Of(b).KnownTopic("events")
		meta.Asked, meta.Partitions = time.Now(), meta.Partitions[:1]
		if _, err := p.learn(&meta); err != nil {
			t.Fatal(err)
		}
		if n := p.topicNamed("events").layout.Load().n; n != 3 {
			t.Errorf("%d partitions are left, want 3", n)
		}
	})
}

// TestProduceTooLargeAfterLeaderMoved: the leader moves, and the next one refuses the
// batch for its size. It may be in the log by then; it is split nevertheless.
func TestProduceTooLargeAfterLeaderMoved(t *testing.T) {
	for _, code := range []*franzerr.Error{franzerr.MessageTooLarge, franzerr.RecordListTooLarge} {
		t.Run(code.Message, func(t *testing.T) {
			bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
				p := startProducer(b, transport.ProducerConfig{})
				dones := gathered(b, p, 50)
				b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: franzerr.NotLeaderForPartition})
				var refusals int
				b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
					b.KeepControl()
					part := req.(*kmsg.ProduceRequest).Topics[0].Partitions[0]
					_, records, _ := bed.DecodeBatch(t, part.Records)
					if len(records) <= 20 {
						return nil, nil, false
					}
					if refusals++; refusals == 1 {
						return nil, nil, false // to be answered by the fault
					}
					return answerProduce(req, code.Code), nil, true
				})
				dones.release()
				if unknown, lost, delivered := outcomes(b, dones.receipts); delivered != 51 {
					t.Errorf("%d delivered, %d unknown, %d lost, want 51 delivered", delivered, unknown, lost)
				}
				if n := len(b.Log(0)); n != 51 {
					t.Errorf("the log holds %d records, want 51", n)
				}
			})
		})
	}
}

// TestProduceTooLargeThoughAppended: the batch is in the log, its acknowledgement was
// lost, and the topic's bound was lowered meanwhile. No record is written twice, and
// none is reported as not written.
func TestProduceTooLargeThoughAppended(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		p := startProducer(b, transport.ProducerConfig{})
		dones := gathered(b, p, 50)
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: franzerr.RequestTimedOut}) // appends
		var requests int
		b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			part := req.(*kmsg.ProduceRequest).Topics[0].Partitions[0]
			if _, records, _ := bed.DecodeBatch(t, part.Records); len(records) <= 20 {
				return nil, nil, false
			}
			if requests++; requests == 1 {
				return nil, nil, false
			}
			return answerProduce(req, franzerr.MessageTooLarge.Code), nil, true
		})
		dones.release()
		if unknown, lost, delivered := outcomes(b, dones.receipts); delivered != 1 || unknown != 50 {
			t.Errorf("%d delivered, %d unknown, %d lost, want 1 and 50", delivered, unknown, lost)
		}
		if n := len(b.Log(0)); n != 51 {
			t.Errorf("the log holds %d records, want each once: 51", n)
		}
		b.Delivered(b.Publish(p, 0, "after"))
	})
}

// TestProduceRefusedAfterLeaderMoved: the same with one record that is refused for
// its content, among others.
func TestProduceRefusedAfterLeaderMoved(t *testing.T) {
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprintf("named=%v", named), func(t *testing.T) {
			bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
				p := startProducer(b, transport.ProducerConfig{})
				dones := gathered(b, p, 20)
				b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
					refuseValues(b, named, "13")
					return answerProduce(req, franzerr.NotLeaderForPartition.Code), nil, true
				})
				dones.release()
				for i, done := range dones.receipts {
					err := b.Wait(done)
					if i == 14 && (!errors.Is(err, transport.ErrRejected) || errors.Is(err, transport.ErrOutcomeUnknown)) {
						t.Errorf("the bad record: %v, want it rejected", err)
					}
					if i != 14 && err != nil {
						t.Errorf("record %d: %v", i, err)
					}
				}
			})
		})
	}
}

// gatheredRecords are records of one partition that were published while the one
// before them was in flight.
type gatheredRecords struct {
	receipts []bed.Receipt // of the one before, and of n
	release  func()
}

// gathered publishes n records that will be sent as one batch.
func gathered(b *bed.Bed, p *Producer, n int) gatheredRecords {
	b.T.Helper()
	b.Delivered(b.Publish(p, 0, "warm"))
	synctest.Wait()
	part := p.topicNamed("events").layout.Load().known[0]
	part.mu.Lock()
	busy := part.busy
	part.busy = true // so that records gather
	part.mu.Unlock()
	if busy {
		b.T.Fatal("the partition is busy after its record was delivered")
	}
	g := gatheredRecords{receipts: []bed.Receipt{make(bed.Receipt, 1)}}
	g.receipts[0] <- nil
	for i := range n {
		g.receipts = append(g.receipts, b.Publish(p, 0, fmt.Sprint(i)))
	}
	g.release = func() { part.offer(false) }
	return g
}

// answerProduce answers the one partition of a request with a code.
func answerProduce(req kmsg.Request, code int16) *kmsg.ProduceResponse {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	topic := kmsg.NewProduceResponseTopic()
	topic.Topic, topic.TopicID = req.(*kmsg.ProduceRequest).Topics[0].Topic, req.(*kmsg.ProduceRequest).Topics[0].TopicID
	part := kmsg.NewProduceResponseTopicPartition()
	part.Partition, part.ErrorCode = req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Partition, code
	topic.Partitions = append(topic.Partitions, part)
	resp.Topics = append(resp.Topics, topic)
	return resp
}

// TestProduceThrottledDeadline: a broker that throttles for ten minutes does not make
// records wait longer than their delivery time.
func TestProduceThrottledDeadline(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.InitProducerID} {
		t.Run(key.Name(), func(t *testing.T) {
			bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
				p := startProducer(b, transport.ProducerConfig{DeliveryTimeout: 5 * time.Second})
				b.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
					if key == kmsg.InitProducerID {
						resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
						resp.ProducerID, resp.ThrottleMillis = 4711, 600_000
						return resp, nil, true
					}
					resp := answerProduce(req, 0)
					resp.ThrottleMillis = 600_000
					return resp, nil, true
				})
				if key == kmsg.Produce {
					b.Delivered(b.Publish(p, 0, "throttled"))
				}
				begun := time.Now()
				err := b.Wait(b.Publish(p, 0, "late"))
				if err == nil || errors.Is(err, transport.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "within 5s") {
					t.Errorf("%v, want an error that says it was not delivered within 5 s", err)
				}
				if took := time.Since(begun); took != 5*time.Second {
					t.Errorf("the outcome came after %v, want the delivery timeout", took)
				}
			})
		})
	}
}

// TestProduceDialDeadline: a batch keeps its deadline although the worker dials for
// another batch with a later one. That happens when a retried partition comes after
// one that is not retried.
func TestProduceDialDeadline(t *testing.T) {
	bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
		p := startProducer(b, transport.ProducerConfig{DeliveryTimeout: time.Minute})
		topic, err := p.topicOf(t.Context(), "events")
		if err != nil {
			t.Fatal(err)
		}
		b.Wires.Hang()
		late := b.Publish(p, 0, "late")
		synctest.Wait()
		begun, early := time.Now(), make(bed.Receipt, 1)
		r := &transport.Record{Topic: "events", Value: []byte("early")}
		tried := newBatch(begun.Add(3 * time.Second))
		tried.add(r, batch.ContentSize(r), begun.UnixMilli(), r.Size(), early)
		if err := p.credit.acquire(t.Context(), int64(r.Size())); err != nil {
			t.Fatal(err)
		}
		if err := topic.layout.Load().known[1].addAlone(tried); err != nil {
			t.Fatal(err)
		}
		if err := b.Wait(early); err == nil || errors.Is(err, transport.ErrOutcomeUnknown) {
			t.Errorf("early: %v", err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("the outcome came after %v, want the batch's deadline", took)
		}
		if err := b.Wait(late); err == nil {
			t.Error("late was delivered to nobody")
		}
	})
}
