package eventbus_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// BenchmarkSlowHandlers handles 20,000 events, 20 of each of 1,000 keys, with
// handlers that take 5 ms, 256 at once. It measures from the first handler's start to
// the last one's return, takes the median of five rounds, and checks the order of
// each key. The minimum is 0.39 s. It runs in memory and on the brokers in
// EVENTBUS_TEST_BROKERS:
//
//	go test -run '^$' -bench SlowHandlers -benchtime 1x .
//	scripts/kafka.sh run -- go test -run '^$' -bench SlowHandlers -benchtime 1x .
func BenchmarkSlowHandlers(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *kafkatest.Cluster{
		"memory": kafkatest.NewMemory,
		"kafka":  func(t testing.TB) *kafkatest.Cluster { return kafkatest.Open(t) },
	} {
		b.Run(name, func(b *testing.B) {
			cluster := open(b)
			for b.Loop() {
				var took []time.Duration
				for round := range 5 {
					took = append(took, slowHandlers(b, cluster, fmt.Sprint("g", round)))
				}
				slices.Sort(took)
				b.ReportMetric(took[2].Seconds(), "s/median")
				b.ReportMetric(took[4].Seconds(), "s/worst")
			}
		})
	}
}

const slowKeys, slowEach = 1000, 20

// slowHandlers runs one round, in a group of its own on a topic that the first
// round fills.
func slowHandlers(b *testing.B, cluster *kafkatest.Cluster, group string) time.Duration {
	topic := eventbus.NewTopic(eventbus.TopicConfig[order]{
		Domain: "sales", Name: "slow", Partitions: 12, Key: func(o order) string { return o.ID },
	})
	c := benchModes()[0].config()
	c.Environment = cluster.Environment()
	bus, err := eventbus.New(cluster.Transport(), c)
	if err != nil {
		b.Fatal(err)
	}
	if group == "g0" {
		var events []order
		for seq := range slowEach {
			for k := range slowKeys {
				events = append(events, order{ID: fmt.Sprint("k", k), Seq: seq})
			}
		}
		if err := eventbus.NewPublisher(bus, topic).PublishBatch(context.Background(), events); err != nil {
			b.Fatal(err)
		}
	}
	var (
		mu          sync.Mutex
		first, last time.Time
		next        = make(map[string]int)
		left        = slowKeys * slowEach
		all         = make(chan struct{})
	)
	err = eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
		mu.Lock()
		if first.IsZero() {
			first = time.Now()
		}
		if next[o.ID] != o.Seq {
			b.Errorf("%s: %d comes where %d was due", o.ID, o.Seq, next[o.ID])
		}
		mu.Unlock()
		<-time.After(5 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		next[o.ID]++
		if left--; left == 0 {
			last = time.Now()
			close(all)
		}
		return nil
	}, eventbus.Group(group), eventbus.Concurrency(256))
	if err != nil {
		b.Fatal(err)
	}
	if err := bus.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	<-all
	if err := bus.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	return last.Sub(first)
}
