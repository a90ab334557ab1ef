package produce

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// epochOf returns the producer epoch of the only batch of a request.
func epochOf(req kmsg.Request) int16 {
	const at = 51 // in the head of a batch
	return int16(binary.BigEndian.Uint16(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records[at:]))
}

// idOf returns the producer id of the only batch of a request.
func idOf(req kmsg.Request) int64 {
	const at = 43 // in the head of a batch
	return int64(binary.BigEndian.Uint64(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records[at:]))
}

// epochs records the epoch of each batch that the broker accepts from now on.
func (d *distant) epochs() (last func() int16) {
	var epoch atomic.Int32
	d.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		d.KeepControl()
		epoch.Store(int32(epochOf(req)))
		return nil, nil, false
	})
	return func() int16 { return int16(epoch.Load()) }
}

// TestProduceBehindRefusedAndLost: the broker refuses a record for its content, and the
// connection is lost before it answers the batches sent behind it. They are not in the log, so
// they are written with other numbers, under another epoch, since the old requests may still
// arrive.
func TestProduceBehindRefusedAndLost(t *testing.T) {
	for _, code := range []*franzerr.Error{franzerr.MessageTooLarge, franzerr.InvalidRecord} {
		t.Run(code.Message, func(t *testing.T) {
			d := newDistant(t, transport.ProducerConfig{})
			d.cut = true
			d.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, When: func(req kmsg.Request) bool { return sequenceOf(req) == 1 }})
			dones := d.published()
			if err := d.Wait(dones[0]); !errors.Is(err, transport.ErrTooLarge) && !errors.Is(err, transport.ErrRejected) || errors.Is(err, transport.ErrOutcomeUnknown) {
				t.Errorf("the refused record: %v", err)
			}
			for _, done := range dones[1:] {
				d.Delivered(done)
			}
			epoch := d.epochs()
			d.Delivered(d.Publish(d.producer, 0, "after"))
			if epoch() != 1 {
				t.Errorf("the epoch is %d, want 1: what was sent behind could still be taken", epoch())
			}
			if got, want := d.Log(0), []string{"0", "2", "3", "4", "5", "6", "7", "after"}; !slices.Equal(got, want) {
				t.Errorf("the log holds %q, want %q", got, want)
			}
		})
	}
}

// TestProduceBehindAndLost: a batch fails permanently, or with an error that says that the log
// lacks what came before, and the connection is lost before the batches sent behind it are
// answered. Their outcome is unknown, and later records are written so that these can't be
// accepted any more.
func TestProduceBehindAndLost(t *testing.T) {
	for _, code := range []*franzerr.Error{
		franzerr.TopicAuthorizationFailed, franzerr.OutOfOrderSequenceNumber, franzerr.UnknownProducerID, franzerr.InvalidProducerEpoch,
	} {
		t.Run(code.Message, func(t *testing.T) {
			d := newDistant(t, transport.ProducerConfig{})
			d.cut = true
			d.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, When: func(req kmsg.Request) bool { return sequenceOf(req) == 1 }})
			session := d.producer.all()[0].session
			dones := d.published()
			if err := d.Wait(dones[0]); err == nil || errors.Is(err, transport.ErrOutcomeUnknown) {
				t.Errorf("the outcome of the head is %v, want one that is known", err)
			}
			unknown, notWritten, delivered := outcomes(d.Bed, dones[1:])
			if unknown != mostUnderWay-1 || notWritten != 2 || delivered != 0 {
				t.Errorf("%d outcomes unknown, %d not written, %d delivered, want %d, 2, 0", unknown, notWritten, delivered, mostUnderWay-1)
			}
			var fresh atomic.Bool
			d.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				d.KeepControl()
				fresh.Store(sequenceOf(req) == 0)
				return nil, nil, false
			})
			d.Delivered(d.Publish(d.producer, 0, "after"))
			if !fresh.Load() {
				t.Error("what follows is written under the numbers of what was lost")
			}
			_ = d.producer.Flush(context.Background())
			if now := d.producer.all()[0].session; now == session {
				t.Errorf("the session is still %v", now)
			}
			if got, want := d.Log(0), []string{"0", "after"}; !slices.Equal(got, want) {
				t.Errorf("the log holds %q, want %q", got, want)
			}
		})
	}
}

// TestProduceBehindRetriedAndLost: a batch fails temporarily, and the connection is lost
// before the batches sent behind it are answered. All records are written once and in order.
func TestProduceBehindRetriedAndLost(t *testing.T) {
	for _, code := range []*franzerr.Error{
		franzerr.NotEnoughReplicas, franzerr.NotEnoughReplicasAfterAppend, franzerr.NotLeaderForPartition, franzerr.UnknownTopicOrPartition,
	} {
		t.Run(code.Message, func(t *testing.T) {
			d := newDistant(t, transport.ProducerConfig{})
			d.cut = true
			d.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, When: func(req kmsg.Request) bool { return sequenceOf(req) == 1 }})
			for _, done := range d.published() {
				d.Delivered(done)
			}
			if got, want := d.Log(0), []string{"0", "1", "2", "3", "4", "5", "6", "7"}; !slices.Equal(got, want) {
				t.Errorf("the log holds %q, want %q", got, want)
			}
		})
	}
}

// TestProduceBehindNewSession: the broker has forgotten the session, and answers everything
// that was sent under it. All records are written once and in order under another session, and
// nothing more is sent under the old one.
func TestProduceBehindNewSession(t *testing.T) {
	for _, code := range []*franzerr.Error{franzerr.UnknownProducerID, franzerr.InvalidProducerEpoch, franzerr.OutOfOrderSequenceNumber} {
		t.Run(code.Message, func(t *testing.T) {
			d := newDistant(t, transport.ProducerConfig{})
			d.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, Count: mostUnderWay})
			old := d.producer.all()[0].session
			var again atomic.Int64
			d.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, Count: -1, When: func(req kmsg.Request) bool {
				if epochOf(req) == old.Epoch && idOf(req) == old.ID {
					again.Add(1)
				}
				return false
			}})
			for _, done := range d.published() {
				d.Delivered(done)
			}
			if n := again.Load(); n != 0 {
				t.Errorf("%d batches are sent again under the old session", n)
			}
			if got, want := d.Log(0), []string{"0", "1", "2", "3", "4", "5", "6", "7"}; !slices.Equal(got, want) {
				t.Errorf("the log holds %q, want %q", got, want)
			}
		})
	}
}

// TestProduceBehindAppended: the broker refuses a record for its content, and says that it has
// appended the batch sent behind it, so its log had lost track of the session. That batch is
// not written twice.
func TestProduceBehindAppended(t *testing.T) {
	for _, code := range []*franzerr.Error{franzerr.RequestTimedOut, franzerr.NotEnoughReplicasAfterAppend} {
		t.Run(code.Message, func(t *testing.T) {
			d := newDistant(t, transport.ProducerConfig{})
			d.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: franzerr.MessageTooLarge, When: func(req kmsg.Request) bool { return sequenceOf(req) == 1 }})
			d.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, When: func(req kmsg.Request) bool { return sequenceOf(req) == 2 }})
			dones := d.published()
			if err := d.Wait(dones[1]); !errors.Is(err, transport.ErrOutcomeUnknown) {
				t.Errorf("the outcome of what was sent behind is %v, want ErrOutcomeUnknown", err)
			}
		})
	}
}

// TestProduceBehindClosed: the producer is closed while several batches are under way. The
// outcome of sent records is unknown, all credit is returned, and Close waits for nothing.
func TestProduceBehindClosed(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		p := startProducer(b, transport.ProducerConfig{BatchBytes: 90}) // one record
		p.farAfter = time.Nanosecond
		b.Wires.OnResponse(func([]byte) bool { time.Sleep(10 * time.Millisecond); return false })
		b.Delivered(b.Publish(p, 0, "0"))
		released := make(chan struct{})
		b.Wires.OnResponse(func([]byte) bool { <-released; return true })
		var dones []bed.Receipt
		for i := range 7 {
			dones = append(dones, b.Publish(p, 0, fmt.Sprint(i+1)))
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		time.AfterFunc(time.Second, func() { close(released) })
		_ = p.Close(ctx)
		unknown, notWritten, delivered := outcomes(b, dones)
		// The network in memory buffers little, so the last of them may not be sent.
		if unknown < 2 || unknown > mostUnderWay || unknown+notWritten != 7 {
			t.Errorf("%d outcomes unknown, %d not written, %d delivered", unknown, notWritten, delivered)
		}
		if bytes, records := p.credit.bytes.Load(), p.credit.records.Load(); bytes != 0 || records != 0 {
			t.Errorf("%d bytes and %d records of credit are held after Close", bytes, records)
		}
	})
}

// TestProduceBehindTopicDeleted: the topic is deleted before several batches reach it. None of
// them can be in a log.
func TestProduceBehindTopicDeleted(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		p := startProducer(b, transport.ProducerConfig{BatchBytes: 90}) // one record
		p.farAfter = time.Nanosecond
		b.Wires.OnResponse(func([]byte) bool { time.Sleep(10 * time.Millisecond); return false })
		b.Delivered(b.Publish(p, 0, "before"))
		if err := b.DeleteTopic("events"); err != nil {
			t.Fatal(err)
		}
		var taken atomic.Int64
		b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			taken.Add(1)
			return nil, nil, false
		})
		answers := make(chan struct{})
		b.Wires.OnResponse(func([]byte) bool { <-answers; return false })
		var dones []bed.Receipt
		for i := range 3 {
			dones = append(dones, b.Publish(p, 0, fmt.Sprint(i)))
			synctest.Wait()
		}
		if n := taken.Load(); n < 2 {
			t.Fatalf("%d batches are under way, want several", n)
		}
		close(answers)
		for i, done := range dones {
			if err := b.Wait(done); !errors.Is(err, transport.ErrTopicMissing) || errors.Is(err, transport.ErrOutcomeUnknown) {
				t.Errorf("record %d: %v, want %v and a known outcome", i, err, transport.ErrTopicMissing)
			}
		}
	}, kfake.MaxVersions(kversion.V3_0_0())) // which names topics in its requests
}
