package produce

import (
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

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// distant is a broker that counts as far away, and whose answers a test holds back.
type distant struct {
	*bed.Bed
	producer *Producer
	// taken gets the sequence number of each request that the broker receives.
	taken chan int64
	// fail, if not nil, returns the error for a request with a sequence number.
	fail func(sequence int64) error
	// cut makes the connection break at the first answer to published.
	cut bool
}

// newDistant returns a broker on which the session of a producer is known: record "0" is in
// the log.
func newDistant(t *testing.T, cfg transport.ProducerConfig) *distant {
	d := &distant{Bed: bed.NewBed(t, 1), taken: make(chan int64, 100)}
	cfg.BatchBytes = 90 // one record
	d.producer = startProducer(d.Bed, cfg)
	d.producer.farAfter = time.Nanosecond
	d.Delivered(d.Publish(d.producer, 0, "0"))
	return d
}

// watch makes the broker report the requests that it receives.
func (d *distant) watch() {
	d.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		d.KeepControl()
		sequence := sequenceOf(req)
		d.taken <- sequence
		if d.fail == nil {
			return nil, nil, false
		}
		err := d.fail(sequence)
		return nil, err, err != nil
	})
}

// published publishes "1" to "7" while nothing is answered, waits until the broker has
// taken the first five, and lets it answer.
func (d *distant) published() (dones []bed.Receipt) {
	d.T.Helper()
	answers := make(chan struct{})
	come := make(chan struct{}, 1)
	var pieces atomic.Int64
	d.Wires.OnResponse(func([]byte) bool {
		select {
		case come <- struct{}{}:
		default:
		}
		<-answers
		return pieces.Add(1) == 2 && d.cut
	})
	defer close(answers)
	d.watch()
	for i := range mostUnderWay {
		dones = append(dones, d.Publish(d.producer, 0, fmt.Sprint(i+1)))
		select {
		case got := <-d.taken:
			if got != int64(i)+1 {
				d.T.Fatalf("the broker took batch %d, want %d", got, i+1)
			}
		case <-time.After(10 * time.Second):
			d.T.Fatalf("batch %d is not sent while those before it are not answered", i+1)
		}
		if i == 0 {
			<-come // alone: it is answered before there is another
		}
	}
	return append(dones, d.Publish(d.producer, 0, "6"), d.Publish(d.producer, 0, "7"))
}

// sequenceOf returns the sequence number of the only batch of a request.
func sequenceOf(req kmsg.Request) int64 {
	const at = 53 // in the head of a batch
	return int64(binary.BigEndian.Uint32(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records[at:]))
}

// TestProduceUnderWay: a broker far away gets five batches of a partition before it has
// answered one.
func TestProduceUnderWay(t *testing.T) {
	d := newDistant(t, transport.ProducerConfig{})
	for _, done := range d.published() {
		d.Delivered(done)
	}
	if got, want := d.Log(0), []string{"0", "1", "2", "3", "4", "5", "6", "7"}; !slices.Equal(got, want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}

// TestProduceUnderWayNear: a nearby broker gets one, and the next batch fills meanwhile.
func TestProduceUnderWayNear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		p := startProducer(b, transport.ProducerConfig{})
		b.Delivered(b.Publish(p, 0, "0"))
		answers := make(chan struct{})
		b.Wires.OnResponse(func([]byte) bool { <-answers; return false })
		var taken atomic.Int64
		b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			taken.Add(1)
			return nil, nil, false
		})
		var dones []bed.Receipt
		for i := range 6 {
			dones = append(dones, b.Publish(p, 0, fmt.Sprint(i+1)))
			synctest.Wait()
		}
		if n := taken.Load(); n != 1 {
			t.Errorf("%d batches are under way, want 1", n)
		}
		close(answers)
		for _, done := range dones {
			b.Delivered(done)
		}
		if n := taken.Load(); n != 2 {
			t.Errorf("%d batches were sent, want 2", n)
		}
	})
}

// TestProduceUnderWayNewSession: a log accepts any sequence number from a session that it
// doesn't know, so nothing is sent behind a session's first batch before that is answered.
func TestProduceUnderWayNewSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 2)
		p := startProducer(b, transport.ProducerConfig{})
		p.farAfter = time.Nanosecond
		answers := make(chan struct{})
		b.Wires.OnResponse(func([]byte) bool { time.Sleep(10 * time.Millisecond); return false })
		b.Delivered(b.Publish(p, 0, "the broker is far away"))
		b.Wires.OnResponse(func([]byte) bool { <-answers; return false })
		var taken atomic.Int64
		b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			taken.Add(1)
			return nil, nil, false
		})
		var dones []bed.Receipt
		for i := range 3 {
			dones = append(dones, b.Publish(p, 1, fmt.Sprint(i)))
			synctest.Wait()
		}
		if n := taken.Load(); n != 1 {
			t.Errorf("%d batches of a new session are under way, want 1", n)
		}
		close(answers)
		for _, done := range dones {
			b.Delivered(done)
		}
	})
}

// TestProduceUnderWayFailure: one of several batches in flight fails, each in turn, with
// every error of a broker. All are in the log once and in order, except records that are
// refused for their content.
func TestProduceUnderWayFailure(t *testing.T) {
	for _, code := range []*franzerr.Error{
		franzerr.MessageTooLarge, franzerr.RecordListTooLarge, franzerr.InvalidRecord,
		franzerr.NotEnoughReplicas, franzerr.NotEnoughReplicasAfterAppend, franzerr.RequestTimedOut, franzerr.KafkaStorageError,
		franzerr.NotLeaderForPartition, franzerr.UnknownTopicOrPartition, franzerr.UnknownServerError,
		franzerr.OutOfOrderSequenceNumber, franzerr.UnknownProducerID, franzerr.InvalidProducerEpoch,
	} {
		for at := int64(1); at <= mostUnderWay; at++ {
			t.Run(fmt.Sprintf("%d, %d", code.Code, at), func(t *testing.T) {
				d := newDistant(t, transport.ProducerConfig{})
				d.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, When: func(req kmsg.Request) bool { return sequenceOf(req) == at }})
				refused := code == franzerr.MessageTooLarge || code == franzerr.RecordListTooLarge || code == franzerr.InvalidRecord
				want := []string{"0"}
				for i, done := range d.published() {
					err := d.Wait(done)
					if refused && int64(i)+1 == at {
						if !errors.Is(err, transport.ErrTooLarge) && !errors.Is(err, transport.ErrRejected) || errors.Is(err, transport.ErrOutcomeUnknown) {
							t.Errorf("the refused record: %v", err)
						}
						continue
					}
					if err != nil {
						t.Errorf("record %d: %v", i+1, err)
					}
					want = append(want, fmt.Sprint(i+1))
				}
				if got := d.Log(0); !slices.Equal(got, want) {
					t.Errorf("the log holds %q, want %q", got, want)
				}
			})
		}
	}
}

// TestProduceUnderWayLost: the broker has received several batches, and the connection is
// lost before any answer. They are in the log once and in order.
func TestProduceUnderWayLost(t *testing.T) {
	for at := int64(1); at <= mostUnderWay; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			d := newDistant(t, transport.ProducerConfig{})
			var once atomic.Bool
			d.fail = func(sequence int64) error {
				if sequence == at && !once.Swap(true) {
					return errors.New("lost")
				}
				return nil
			}
			d.watch()
			want := []string{"0"}
			var dones []bed.Receipt
			for i := range 7 {
				want = append(want, fmt.Sprint(i+1))
				dones = append(dones, d.Publish(d.producer, 0, want[i+1]))
				if int64(i) < at {
					<-d.taken
				}
			}
			for _, done := range dones {
				d.Delivered(done)
			}
			if got := d.Log(0); !slices.Equal(got, want) {
				t.Errorf("the log holds %q, want %q", got, want)
			}
		})
	}
}

// TestProduceUnderWayCut: the same, but the connection is lost during an answer.
func TestProduceUnderWayCut(t *testing.T) {
	d := newDistant(t, transport.ProducerConfig{})
	dones := d.published()
	var cut atomic.Bool
	d.Wires.OnResponse(func([]byte) bool { return !cut.Swap(true) })
	for _, done := range dones {
		d.Delivered(done)
	}
	if got, want := d.Log(0), []string{"0", "1", "2", "3", "4", "5", "6", "7"}; !slices.Equal(got, want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}

// TestProduceUnderWayExpires: nothing is acknowledged any more. At the deadline the outcome
// of all sent records is unknown, and later records are written behind them.
func TestProduceUnderWayExpires(t *testing.T) {
	d := newDistant(t, transport.ProducerConfig{DeliveryTimeout: time.Second})
	fault := d.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: franzerr.RequestTimedOut, Count: -1})
	unknown, notWritten, delivered := outcomes(d.Bed, d.published())
	if unknown != mostUnderWay || notWritten != 2 || delivered != 0 {
		t.Errorf("%d outcomes unknown, %d not written, %d delivered, want %d, 2, 0", unknown, notWritten, delivered, mostUnderWay)
	}
	fault.Remove()
	d.Delivered(d.Publish(d.producer, 0, "after"))
	if got, want := d.Log(0), []string{"0", "1", "2", "3", "4", "5", "after"}; !slices.Equal(got, want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}
