package produce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// outcomes waits for all records, and counts them by outcome.
func outcomes(b *bed.Bed, dones []bed.Receipt) (unknown, notWritten, delivered int) {
	b.T.Helper()
	for _, done := range dones {
		switch err := b.Wait(done); {
		case err == nil:
			delivered++
		case errors.Is(err, transport.ErrOutcomeUnknown):
			unknown++
		default:
			notWritten++
		}
	}
	return unknown, notWritten, delivered
}

// TestProduceDeadlineUnknown: the acknowledgement of a batch never comes, though
// the leader appended it. At its deadline the outcome is unknown, what is queued
// behind it fails without having been written, and what comes afterwards is
// written once and in order, under the next epoch.
func TestProduceDeadlineUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		p := startProducer(b, transport.ProducerConfig{DeliveryTimeout: 10 * time.Second})
		b.Delivered(b.Publish(p, 0, "before"))
		fault := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: franzerr.RequestTimedOut, Count: -1})
		begun := time.Now()
		first := b.Publish(p, 0, "first")
		synctest.Wait()
		behind := []bed.Receipt{b.Publish(p, 0, "behind 1"), b.Publish(p, 0, "behind 2")}
		err := b.Wait(first)
		if !errors.Is(err, transport.ErrOutcomeUnknown) || !errors.Is(err, kerr.RequestTimedOut) {
			t.Errorf("the first: %v, want an unknown outcome because of %v", err, kerr.RequestTimedOut)
		}
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("the outcome came after %v, want the delivery timeout", took)
		}
		for _, done := range behind {
			if err := b.Wait(done); err == nil || errors.Is(err, transport.ErrOutcomeUnknown) {
				t.Errorf("behind it: %v, want an error whose outcome is known", err)
			}
		}
		fault.Remove()
		b.Delivered(b.Publish(p, 0, "after"))
		b.Delivered(b.Publish(p, 0, "later"))
		if got, want := b.Log(0), []string{"before", "first", "after", "later"}; !slices.Equal(got, want) {
			t.Errorf("the log holds %q, want %q", got, want)
		}
	})
}

// TestProduceAbandonedRequest: a request that was given up reaches the broker after
// all. It must not be appended behind records that were written since.
func TestProduceAbandonedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		p := startProducer(b, transport.ProducerConfig{DeliveryTimeout: 5 * time.Second})
		b.Delivered(b.Publish(p, 0, "before"))
		var late atomic.Pointer[kmsg.ProduceRequest]
		var mended atomic.Bool
		b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			if mended.Load() {
				return nil, nil, false
			}
			kept := kmsg.NewPtrProduceRequest()
			kept.SetVersion(req.GetVersion())
			if err := kept.ReadFrom(req.AppendTo(nil)); err != nil {
				t.Error(err)
			}
			late.Store(kept)
			return nil, errors.New("lost"), true
		})
		if err := b.Wait(b.Publish(p, 0, "abandoned")); !errors.Is(err, transport.ErrOutcomeUnknown) {
			t.Fatalf("the outcome of a request without an answer: %v", err)
		}
		mended.Store(true)
		b.Delivered(b.Publish(p, 0, "after"))
		resp, err := bedclient.Of(b).Request(t.Context(), 0, cluster.Rare(late.Load(), (*kmsg.ProduceRequest).AppendTo, (*kmsg.ProduceResponse).ReadFrom))
		if err != nil {
			t.Fatal(err)
		}
		if code := kerr.Error(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode); code != kerr.InvalidProducerEpoch {
			t.Errorf("the late request is answered with %v, want %v", code, kerr.InvalidProducerEpoch)
		}
		if got, want := b.Log(0), []string{"before", "after"}; !slices.Equal(got, want) {
			t.Errorf("the log holds %q, want %q", got, want)
		}
	})
}

// TestProduceDeadlineNotWritten: a batch that no leader accepted is known not to be
// written.
func TestProduceDeadlineNotWritten(t *testing.T) {
	for name, fault := range map[string]func(*bed.Bed){
		"too few replicas": func(b *bed.Bed) {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: franzerr.NotEnoughReplicas, Count: -1})
		},
		"broker gone": func(b *bed.Bed) { b.Wires.SetDown(b.ListenAddrs()[0], true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := bed.NewBubble(t, 1)
				p := startProducer(b, transport.ProducerConfig{DeliveryTimeout: 8 * time.Second})
				b.Delivered(b.Publish(p, 0, "before"))
				// The worker's idle connection must not take the request.
				time.Sleep(2 * idleAfter)
				fault(b)
				begun := time.Now()
				dones := []bed.Receipt{b.Publish(p, 0, "1"), b.Publish(p, 0, "2")}
				if unknown, notWritten, _ := outcomes(b, dones); unknown != 0 || notWritten != 2 {
					t.Errorf("%d outcomes unknown and %d not written, want 0 and 2", unknown, notWritten)
				}
				if took := time.Since(begun); took != 8*time.Second {
					t.Errorf("the outcome came after %v, want the delivery timeout", took)
				}
			})
		})
	}
}

// TestProduceLostSession: the errors of brokers that have lost a producer's state.
// The batch is written under another session.
func TestProduceLostSession(t *testing.T) {
	for _, code := range []*franzerr.Error{franzerr.OutOfOrderSequenceNumber, franzerr.InvalidProducerEpoch, franzerr.UnknownProducerID} {
		t.Run(code.Message, func(t *testing.T) {
			b := bed.NewBed(t, 1)
			p := startProducer(b, transport.ProducerConfig{})
			b.Delivered(b.Publish(p, 0, "before"))
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code})
			b.Delivered(b.Publish(p, 0, "1"))
			b.Delivered(b.Publish(p, 0, "2"))
			if got, want := b.Log(0), []string{"before", "1", "2"}; !slices.Equal(got, want) {
				t.Errorf("the log holds %q, want %q", got, want)
			}
		})
	}
}

// TestProduceEpochsRunOut: after the last epoch comes another producer id.
func TestProduceEpochsRunOut(t *testing.T) {
	part := &partition{producer: &Producer{}, session: batch.ProducerSession{ID: 7, Epoch: 1<<15 - 3}, sequence: 5}
	part.producer.ids.current.Store(&batch.ProducerSession{ID: 7})
	part.fence()
	if want := (batch.ProducerSession{ID: 7, Epoch: 1<<15 - 2}); part.session != want || part.sequence != 0 {
		t.Errorf("the session is %v from %d on, want %v from 0 on", part.session, part.sequence, want)
	}
	part.fence()
	if part.session.ID != -1 || part.producer.ids.current.Load() != nil {
		t.Errorf("the session is %v after the last epoch, want none", part.session)
	}
}

// TestProduceRecordsRefused: a record that the broker refuses for its content fails
// alone, whether the broker names it or not.
func TestProduceRecordsRefused(t *testing.T) {
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprintf("named=%v", named), func(t *testing.T) {
			b := bed.NewBed(t, 1)
			p := startProducer(b, transport.ProducerConfig{})
			gate := hold(b)
			refuseValues(b, named, "bad")
			dones := []bed.Receipt{b.Publish(p, 0, "first")}
			<-gate.held
			values := []string{"1", "bad", "2", "3", "bad", "4", "5"}
			for _, v := range values {
				dones = append(dones, b.Publish(p, 0, v))
			}
			flushed := make(chan error, 1)
			go func() { flushed <- p.Flush(context.Background()) }()
			close(gate.release)
			b.Delivered(dones[0])
			for i, v := range values {
				err := b.Wait(dones[i+1])
				if v != "bad" && err != nil {
					t.Errorf("%s: %v", v, err)
				}
				if v == "bad" && (!errors.Is(err, transport.ErrRejected) || errors.Is(err, transport.ErrOutcomeUnknown)) {
					t.Errorf("%s: %v, want it rejected", v, err)
				}
			}
			if err := <-flushed; err != nil {
				t.Errorf("Flush: %v", err)
			}
			if got, want := b.Log(0), []string{"first", "1", "2", "3", "4", "5"}; !slices.Equal(got, want) {
				t.Errorf("the log holds %q, want %q", got, want)
			}
		})
	}
}

// refuseValues makes the broker refuse batches with that value, naming the
// records or not.
func refuseValues(b *bed.Bed, named bool, value string) {
	b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		_, records, _ := bed.DecodeBatch(b.T, produce.Topics[0].Partitions[0].Records)
		resp := produce.ResponseKind().(*kmsg.ProduceResponse)
		topic := kmsg.NewProduceResponseTopic()
		topic.TopicID = produce.Topics[0].TopicID
		part := kmsg.NewProduceResponseTopicPartition()
		part.ErrorCode = int16(kerr.InvalidRecord)
		refused := false
		for i, r := range records {
			if string(r.Value) == value {
				refused = true
				if named {
					part.ErrorRecords = append(part.ErrorRecords, kmsg.ProduceResponseTopicPartitionErrorRecord{
						RelativeOffset: int32(i), ErrorMessage: new("bad value"),
					})
				}
			}
		}
		topic.Partitions = append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, refused
	})
}

// held is a broker that is stopped at a produce request.
type held struct {
	held    chan struct{} // closed when a request is there
	release chan struct{} // closed by the test
}

// hold holds the next produce request.
func hold(b *bed.Bed) *held {
	h := &held{make(chan struct{}), make(chan struct{})}
	var once atomic.Bool
	b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if once.CompareAndSwap(false, true) {
			close(h.held)
			b.SleepControl(func() { <-h.release })
		}
		return nil, nil, false
	})
	return h
}

// TestProduceTooLargeForTopic: a batch that the topic refuses for its size is
// divided; a record that it refuses fails with its size.
func TestProduceTooLargeForTopic(t *testing.T) {
	b := bed.NewBed(t, 1)
	if err := b.CreateTopic("small", 1, map[string]string{"max.message.bytes": "1000"}); err != nil {
		t.Fatal(err)
	}
	p := startProducer(b, transport.ProducerConfig{})
	gate := hold(b)
	first := b.Publish(p, 0, "first")
	<-gate.held
	var c bed.Counted
	for range 50 {
		if err := p.Produce(t.Context(), &transport.Record{Topic: "small", Value: make([]byte, 200)}, &c); err != nil {
			t.Fatal(err)
		}
	}
	large := make(bed.Receipt, 1)
	if err := p.Produce(t.Context(), &transport.Record{Topic: "small", Value: make([]byte, 2000)}, large); err != nil {
		t.Fatal(err)
	}
	close(gate.release)
	b.Delivered(first)
	var size *transport.TooLargeError
	if err := b.Wait(large); !errors.As(err, &size) || size.Size < 2000 {
		t.Errorf("a record of 2,000 bytes where 1,000 are allowed: %v", err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.N.Load() != 50 || c.Failed.Load() != 0 {
		t.Errorf("%d of 50 records have an outcome, %d failed", c.N.Load(), c.Failed.Load())
	}
}

// TestProduceTopicDeleted: records of a topic that is gone fail after a short
// while, not at their deadline.
func TestProduceTopicDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		p := startProducer(b, transport.ProducerConfig{})
		b.Delivered(b.Publish(p, 0, "before"))
		if err := b.DeleteTopic("events"); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		err := b.Wait(b.Publish(p, 0, "late"))
		if !errors.Is(err, transport.ErrTopicMissing) || errors.Is(err, transport.ErrOutcomeUnknown) {
			t.Errorf("%v, want %v and a known outcome", err, transport.ErrTopicMissing)
		}
		if took := time.Since(begun); took > 2*missingGrace {
			t.Errorf("it took %v", took)
		}
	})
}

// TestProduceUnauthorized: no right to write is an error at once.
func TestProduceUnauthorized(t *testing.T) {
	b := bed.NewBed(t, 1)
	p := startProducer(b, transport.ProducerConfig{})
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: franzerr.TopicAuthorizationFailed})
	err := b.Wait(b.Publish(p, 0, "x"))
	if !errors.Is(err, transport.ErrUnauthorized) || !strings.Contains(err.Error(), "TOPIC_AUTHORIZATION_FAILED") {
		t.Errorf("%v, want %v", err, transport.ErrUnauthorized)
	}
	b.Delivered(b.Publish(p, 0, "y"))
}
