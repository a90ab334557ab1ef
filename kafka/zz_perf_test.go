package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

func realBed(t *testing.T, partitions int32) (*bed, string) {
	brokers := os.Getenv("EVENTBUS_TEST_BROKERS")
	if brokers == "" {
		t.Skip()
	}
	tr := New(Config{Brokers: strings.Split(brokers, ","), ConsumerProtocol: os.Getenv("NEXT") != ""})
	topic := fmt.Sprint("zz", time.Now().UnixNano())
	if err := tr.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: topic, Partitions: partitions, Replication: 3, Configs: map[string]string{"min.insync.replicas": "2"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close(context.Background()) })
	return &bed{t: t, transport: tr}, topic
}

func on(topic string, f ...func(*transport.ConsumerConfig)) func(*transport.ConsumerConfig) {
	return func(c *transport.ConsumerConfig) {
		c.Group = topic
		c.Topics = []transport.TopicStart{{Topic: topic}}
		for _, f := range f {
			f(c)
		}
	}
}

func pub(t *testing.T, tr *Transport, topic string, partitions int32, every time.Duration) (stop func() int) {
	p, err := tr.NewProducer(transport.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	done, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		var d doneAll
		for {
			d.wg.Add(1)
			if err := p.Produce(context.Background(), &transport.Record{Topic: topic, Partition: int32(n) % partitions, Value: fmt.Appendf(nil, "%d", n)}, &d); err != nil {
				panic(err)
			}
			n++
			select {
			case <-done:
				d.wg.Wait()
				p.Close(context.Background())
				stopped <- n
				return
			case <-time.After(every):
			}
		}
	}()
	return func() int { close(done); return <-stopped }
}

type doneAll struct{ wg sync.WaitGroup }

func (d *doneAll) Delivered(_ transport.Position, err error) {
	if err != nil {
		panic(err)
	}
	d.wg.Done()
}

func (l *ledger) verify(t *testing.T, n int, partitions int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	total, dup, lost, order := 0, 0, 0, 0
	for p := range partitions {
		want := int(p)
		for _, v := range l.taken[p] {
			var got int
			fmt.Sscan(v, &got)
			total++
			switch {
			case got == want:
				want += int(partitions)
			case got < want:
				dup++
			default:
				lost += (got - want) / int(partitions)
				order++
				want = got + int(partitions)
			}
		}
		if want < n {
			lost += (n - want + int(partitions) - 1) / int(partitions)
		}
	}
	fmt.Printf("published %d taken %d dup %d lost %d\n", n, total, dup, lost)
	if dup+lost > 0 {
		t.Errorf("dup %d lost %d", dup, lost)
	}
}

func TestZZRolling(t *testing.T) {
	b, topic := realBed(t, 12)
	l := newLedger()
	var rs []*reader
	for range 3 {
		rs = append(rs, b.reader(l, on(topic)))
	}
	for _, r := range rs {
		r.awaitOwned(4)
	}
	stop := pub(t, b.transport, topic, 12, time.Millisecond)
	heard := make([]int, 3)
	for i, r := range rs {
		heard[i] = len(r.heard)
	}
	gap := watch(l)
	for id := 1; id <= 3; id++ {
		if id > 1 {
			gap = watch(l)
		}
		x := time.Now()
		out, err := exec.Command("/work/main/scripts/kafka.sh", os.Getenv("ZZ"), fmt.Sprint(id)).CombinedOutput()
		fmt.Println(id, string(out), err)
		if os.Getenv("ZZ") == "kill" {
			time.Sleep(15 * time.Second)
			out, err := exec.Command("/work/main/scripts/kafka.sh", "restart", fmt.Sprint(id)).CombinedOutput()
			fmt.Println(id, string(out), err)
		}
		fmt.Println("took", time.Since(x))
		time.Sleep(5 * time.Second)
		fmt.Println("largest gaps", gap())
	}
	n := stop()
	l.await(t, n)
	l.verify(t, n, 12)
	for i, r := range rs {
		fmt.Println(r.heard, r.Status().LastError)
		if len(r.heard) != heard[i] {
			t.Errorf("heard %v", r.heard)
		}
	}
}

// watch measures the largest time without progress per partition.
func watch(l *ledger) func() map[int32]time.Duration {
	stop, res := make(chan struct{}), make(chan map[int32]time.Duration)
	go func() {
		last := map[int32]time.Time{}
		count := map[int32]int{}
		gaps := map[int32]time.Duration{}
		for {
			select {
			case <-stop:
				res <- gaps
				return
			case <-time.After(5 * time.Millisecond):
			}
			l.mu.Lock()
			now := time.Now()
			for p, v := range l.taken {
				if len(v) != count[p] {
					if !last[p].IsZero() {
						gaps[p] = max(gaps[p], now.Sub(last[p]).Round(time.Millisecond))
					}
					last[p], count[p] = now, len(v)
				}
			}
			l.mu.Unlock()
		}
	}()
	return func() map[int32]time.Duration { close(stop); return <-res }
}

func TestZZStorm(t *testing.T) {
	b, topic := realBed(t, 80)
	l := newLedger()
	fast := on(topic, func(c *transport.ConsumerConfig) { c.HeartbeatInterval = 200 * time.Millisecond })
	var rs []*reader
	for range 8 {
		rs = append(rs, b.reader(l, fast))
	}
	for _, r := range rs {
		r.await("some", func() bool { return len(r.owned) > 0 })
	}
	stop := pub(t, b.transport, topic, 80, 200*time.Microsecond)
	gap := watch(l)
	begun := time.Now()
	cycles := 0
	var current atomic.Pointer[[]*reader]
	fin := make(chan struct{})
	defer close(fin)
	go func() {
		last, at := 0, time.Now()
		for {
			select {
			case <-fin:
				return
			case <-time.After(time.Second):
			}
			l.mu.Lock()
			total := 0
			for _, v := range l.taken {
				total += len(v)
			}
			least := 1 << 30
			for p := range int32(80) {
				least = min(least, len(l.taken[p]))
			}
			l.mu.Unlock()
			if least != last {
				last, at = least, time.Now()
			}
			if time.Since(at) > 6*time.Second {
				at = time.Now()
				fmt.Println("STALL", time.Since(begun))
				if rs := current.Load(); rs != nil {
					for _, r := range *rs {
						s := r.Status()
						fmt.Println(s.State, s.Joined, s.MemberID, s.Generation, time.Since(s.LastHeartbeat), len(s.Partitions), s.LastError)
					}
				}
			}
		}
	}()
	for time.Since(begun) < 40*time.Second {
		i := rand.IntN(len(rs))
		cp := slices.Clone(rs)
		current.Store(&cp)
		x := time.Now()
		rs[i].close()
		if time.Since(x) > 2*time.Second {
			fmt.Println("close took", time.Since(x))
		}
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		rs[i] = b.reader(l, fast)
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		cycles++
	}
	n := stop()
	l.await(t, n)
	l.verify(t, n, 80)
	g := gap()
	var worst time.Duration
	for _, d := range g {
		worst = max(worst, d)
	}
	fmt.Println("cycles", cycles, "worst gap", worst)
	for _, r := range rs {
		if s := r.Status(); s.LastError != nil {
			fmt.Println(s.LastError)
		}
	}
}

func TestZZGap(t *testing.T) {
	b, topic := realBed(t, 12)
	l := newLedger()
	a := b.reader(l, on(topic))
	a.awaitOwned(12)
	stop := pub(t, b.transport, topic, 12, time.Millisecond/2)
	g0 := watch(l)
	time.Sleep(6 * time.Second)
	fmt.Println("quiet", g0())
	g := watch(l)
	time.Sleep(time.Second)
	c := b.reader(l, on(topic))
	c.awaitOwned(6)
	time.Sleep(4 * time.Second)
	gaps := g()
	for p, s := range a.owned {
		_ = s
		fmt.Println("kept", p, gaps[p.Partition])
	}
	for p := range c.owned {
		fmt.Println("moved", p, gaps[p.Partition])
	}
	n := stop()
	l.await(t, n)
	l.verify(t, n, 12)
}
