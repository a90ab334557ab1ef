package produce

import (
	"errors"
	"fmt"
	rand "math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// TestProduceExactly publishes from many goroutines while leaders move, requests and
// responses are lost, and brokers answer with errors from before and after the append.
// Whatever happens, each delivered record is in the log once, at its receipt's offset; the
// records of a publisher are in order; and a record reported as not written is not there.
//
// It runs with nearby brokers, and with brokers that count as far away, which get several
// batches of a partition at a time.
func TestProduceExactly(t *testing.T) {
	t.Run("near", func(t *testing.T) { produceExactly(t, farAfter) })
	t.Run("far", func(t *testing.T) { produceExactly(t, time.Nanosecond) })
}

func produceExactly(t *testing.T, far time.Duration) {
	const publishers, partitions = 12, 4
	each := 400
	if testing.Short() {
		each = 50
	}
	b := bed.NewBed(t, partitions, kfake.NumBrokers(3))
	// The delivery time is short enough for some batches to be lost.
	p := startProducer(b, transport.ProducerConfig{DeliveryTimeout: 250 * time.Millisecond, BatchBytes: 4000, Compression: "lz4"})
	p.farAfter = far
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	stop := make(chan struct{})
	var chaos sync.WaitGroup
	chaos.Go(func() { disturb(b, rand.New(rand.NewPCG(seed, 1)), stop) })

	outcomes := make([][]error, publishers)
	var all sync.WaitGroup
	for g := range publishers {
		outcomes[g] = make([]error, each)
		all.Go(func() {
			var sent sync.WaitGroup
			for i := range each {
				sent.Add(1)
				r := &transport.Record{Topic: "events", Partition: int32(g % partitions), Value: fmt.Appendf(nil, "%d %d", g, i)}
				done := outcome(func(err error) { outcomes[g][i] = err; sent.Done() })
				if err := p.Produce(t.Context(), r, done); err != nil {
					t.Errorf("Produce: %v", err)
					sent.Done()
				}
				if i%(5+4*g) == 0 {
					sent.Wait()
				}
			}
			sent.Wait()
		})
	}
	all.Wait()
	close(stop)
	chaos.Wait()
	b.Wires.OnResponse(nil)
	b.DropControl()

	var delivered, unknown, lost int
	found := make(map[string]int)
	for part := range int32(partitions) {
		last := make(map[string]int)
		for _, v := range b.Log(part) {
			who, what, _ := strings.Cut(v, " ")
			i, err := strconv.Atoi(what)
			if err != nil {
				t.Fatal(err)
			}
			if before, ok := last[who]; ok && i <= before {
				t.Errorf("partition %d: record %d of publisher %s follows %d", part, i, who, before)
			}
			last[who] = i
			found[v]++
		}
	}
	for g := range outcomes {
		for i, err := range outcomes[g] {
			n := found[fmt.Sprintf("%d %d", g, i)]
			switch {
			case err == nil:
				delivered++
				if n != 1 {
					t.Errorf("record %d of publisher %d was delivered and is in the log %d times", i, g, n)
				}
			case errors.Is(err, transport.ErrOutcomeUnknown):
				unknown++
				if n > 1 {
					t.Errorf("record %d of publisher %d is in the log %d times", i, g, n)
				}
			default:
				lost++
				if n != 0 {
					t.Errorf("record %d of publisher %d is in the log, though: %v", i, g, err)
				}
			}
		}
	}
	t.Logf("%d delivered, %d unknown, %d not written", delivered, unknown, lost)
	if delivered == 0 {
		t.Error("nothing was delivered")
	}
}

type outcome func(error)

func (o outcome) Done(_ transport.Position, err error) { o(err) }

// disturb injects faults for a while, or until stop is closed.
func disturb(b *bed.Bed, r *rand.Rand, stop <-chan struct{}) {
	var cut atomic.Int32
	b.Wires.OnResponse(func(response []byte) bool { return len(response) > 20 && cut.Add(-1) == 0 })
	codes := []*franzerr.Error{franzerr.RequestTimedOut, franzerr.NotEnoughReplicasAfterAppend, franzerr.NotEnoughReplicas, franzerr.KafkaStorageError,
		franzerr.UnknownTopicOrPartition, franzerr.LeaderNotAvailable, franzerr.NotLeaderForPartition}
	// One fault per partition at a time, so that they don't pile up.
	faults := make(map[int32]*kfake.FaultHandle)
	fault := func(part int32, err *franzerr.Error, count int) {
		if old := faults[part]; old != nil {
			old.Remove()
		}
		faults[part] = b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "events", Partitions: []int32{part}, Err: err, Count: count})
	}
	tick := time.NewTicker(8 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		part := r.Int32N(4)
		switch r.IntN(6) {
		case 0:
			_ = b.MoveTopicPartition("events", part, r.Int32N(3))
		case 1:
			cut.Store(r.Int32N(10) + 1)
		case 2:
			b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				return nil, errors.New("lost"), true
			})
		case 3: // long enough for a batch to reach its deadline
			fault(part, codes[r.IntN(3)], 20)
		default:
			fault(part, codes[r.IntN(len(codes))], 0)
		}
	}
}
