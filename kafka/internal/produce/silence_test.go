package produce

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// failures returns how many failures were reported to the gate.
func (g *recordedGate) failures() (n int) {
	for _, err := range g.told() {
		if err != nil {
			n++
		}
	}
	return n
}

// silence makes the broker accept Produce requests without answering them, until end is called.
func silence(b *bed.Bed) (end func()) {
	released := make(chan struct{})
	b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.SleepControl(func() { <-released })
		return nil, nil, false
	})
	return func() { close(released) }
}

// TestProduceSilentBroker: a single request that a frozen broker does not answer opens the gate
// within a few seconds, long before its deadline. Once the broker answers again, earlier
// failures don't count.
func TestProduceSilentBroker(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		gate := &recordedGate{}
		p := startProducer(b, transport.ProducerConfig{Gate: gate})
		b.Delivered(b.Publish(p, 0, "warm"))
		end := silence(b)
		stuck := b.Publish(p, 0, "stuck")
		time.Sleep(sendPatience - time.Millisecond)
		if n := gate.failures(); n != 0 {
			t.Errorf("the gate was told of %d failures before the patience is over", n)
		}
		time.Sleep(2*time.Second + time.Millisecond)
		if n := gate.failures(); n < 5 {
			t.Errorf("the gate was told of %d failures within 4 s, want at least 5", n)
		}
		for _, err := range gate.told() {
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the gate was told %v", err)
			}
		}
		end()
		b.Delivered(stuck)
		synctest.Wait() // a report may be in progress
		before := gate.failures()
		time.Sleep(time.Minute)
		if n := gate.failures() - before; n != 0 {
			t.Errorf("the gate was told of %d failures after the broker answered", n)
		}
	})
}

// TestProduceSilentBrokerFar: records that are published meanwhile, and sent behind others,
// don't make a distant silent broker look alive.
func TestProduceSilentBrokerFar(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		gate := &recordedGate{}
		p := startProducer(b, transport.ProducerConfig{Gate: gate, BatchBytes: 90}) // one record
		p.farAfter = time.Nanosecond
		b.Wires.OnResponse(func([]byte) bool { time.Sleep(10 * time.Millisecond); return false })
		b.Delivered(b.Publish(p, 0, "warm"))
		end := silence(b)
		dones := []bed.Receipt{b.Publish(p, 0, "stuck")}
		for range 2 {
			time.Sleep(sendPatience * 3 / 4)
			dones = append(dones, b.Publish(p, 0, "behind"))
		}
		synctest.Wait()
		if n := gate.failures(); n == 0 {
			t.Errorf("the gate was told of nothing within %s", sendPatience*3/2)
		}
		end()
		for _, done := range dones {
			b.Delivered(done)
		}
	})
}

// TestProduceSlowAnswers: a broker that takes three seconds for each answer is slow, not
// silent.
func TestProduceSlowAnswers(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		gate := &recordedGate{}
		p := startProducer(b, transport.ProducerConfig{Gate: gate})
		b.Delivered(b.Publish(p, 0, "warm"))
		b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			b.SleepControl(func() { time.Sleep(3 * time.Second) })
			return nil, nil, false
		})
		b.Delivered(b.Publish(p, 0, "first"))
		synctest.Wait()
		known := gate.failures()
		for range 10 {
			b.Delivered(b.Publish(p, 0, "x"))
		}
		if n := gate.failures() - known; n != 0 {
			t.Errorf("the gate was told of %d failures of a broker that is known to be slow", n)
		}
	})
}

// TestReportOutdated: a failure of a request that began before the last answer is no evidence.
func TestReportOutdated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &recordedGate{}
		s := &sender{producer: &Producer{cfg: transport.ProducerConfig{Gate: gate}}}
		begun := time.Now()
		time.Sleep(time.Second)
		s.noteAnswer(time.Now())
		s.report(begun, os.ErrDeadlineExceeded)
		if n := gate.failures(); n != 0 {
			t.Error("the gate was told of a failure that the broker has disproved")
		}
		time.Sleep(time.Second)
		s.report(time.Now(), os.ErrDeadlineExceeded)
		if n := gate.failures(); n != 1 {
			t.Error("the gate was not told of a failure from after the last answer")
		}
	})
}

// TestProduceIDFrozenBroker: a broker that does not answer the request for a producer id holds
// up only its own partitions.
func TestProduceIDFrozenBroker(t *testing.T) {
	bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
		for part := range int32(2) {
			if err := b.MoveTopicPartition("events", part, part); err != nil {
				t.Fatal(err)
			}
		}
		p := startProducer(b, transport.ProducerConfig{DeliveryTimeout: 20 * time.Second})
		b.ControlKey(int16(kmsg.InitProducerID), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			return nil, nil, b.CurrentNode() == 0 // 0 gives no answer
		})
		stuck := b.Publish(p, 0, "stuck")
		synctest.Wait()
		begun := time.Now()
		b.Delivered(b.Publish(p, 1, "free"))
		if took := time.Since(begun); took > time.Second {
			t.Errorf("a record for a broker that is well took %v", took)
		}
		_ = b.Wait(stuck)
	}, bed.ThreeBrokers()...)
}

// TestProduceSilentDial: the same while connecting to a frozen broker: the kernel accepts
// connections, but nothing answers.
func TestProduceSilentDial(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		gate := &recordedGate{}
		p := startProducer(b, transport.ProducerConfig{Gate: gate, DeliveryTimeout: 5 * time.Second})
		b.Delivered(b.Publish(p, 0, "warm"))
		synctest.Wait()
		b.Wires.Hang()
		time.Sleep(time.Minute)
		known := gate.failures()
		stuck := b.Publish(p, 0, "stuck")
		time.Sleep(4 * time.Second)
		if n := gate.failures() - known; n < 5 {
			t.Errorf("the gate was told of %d failures within 4 s, want at least 5", n)
		}
		_ = b.Wait(stuck)
	})
}
