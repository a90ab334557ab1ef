package kafkatest_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// everywhere runs one test body on every kind of cluster.
func everywhere(t *testing.T, body func(*testing.T, *kafkatest.Cluster)) {
	t.Run("Memory", func(t *testing.T) { body(t, kafkatest.NewMemory(t)) })
	t.Run("Broker", func(t *testing.T) { body(t, kafkatest.NewBroker(t)) })
	t.Run("Kafka", func(t *testing.T) { body(t, kafkatest.Open(t)) })
}

func TestRetryAndDeadLetter(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		good, bad := orderPlaced{"a", 1}, orderPlaced{"b", -1}
		cluster.Start(t, eventbus.On(placed, check))
		kafkatest.Publish(t, cluster, placed, good, bad)
		cluster.Settle(t)
		kafkatest.Published(t, cluster, placed, good, bad)
		kafkatest.Handled(t, cluster, placed, good)
		letter := kafkatest.DeadLettered(t, cluster, placed, bad)[0]
		if letter.Reason != "exhausted" || letter.Attempts != 3 || letter.Group == "" || letter.Origin.Topic != placed.In(cluster.Environment()) {
			t.Errorf("%+v", letter)
		}
	})
}

func TestSettleWaitsForWhatHandlersPublish(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		bus := cluster.Bus(t)
		pay := eventbus.NewPublisher(bus, paid)
		if err := bus.Add(
			eventbus.On(placed, func(ctx context.Context, e orderPlaced) error {
				pay.PublishAsync(ctx, orderPaid{e.OrderID})
				return nil
			}),
			eventbus.On(paid, func(context.Context, orderPaid) error { return nil }),
		); err != nil {
			t.Fatal(err)
		}
		if err := bus.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		receipt := eventbus.NewPublisher(bus, placed).PublishAsync(t.Context(), orderPlaced{"a", 1})
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 1})
		kafkatest.Handled(t, cluster, paid, orderPaid{"a"})
		select {
		case <-receipt.Done():
		default:
			t.Error("settled before what was published was acknowledged")
		}
	})
}

func TestMalformedAndSkipped(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		cluster.Start(t, eventbus.On(placed, check))
		name := placed.In(cluster.Environment())
		kafkatest.Publish(t, cluster, paid, orderPaid{"a"}) // nobody handles this type
		cluster.Produce(t, transport.Record{Topic: name, Partition: 1, Key: []byte("k"), Value: []byte("not an event")})
		cluster.Settle(t)
		letters := kafkatest.DeadLettered(t, cluster, placed)
		if len(letters) != 1 || letters[0].Err == nil || letters[0].Reason != "malformed" || string(letters[0].Record.Value) != "not an event" {
			t.Errorf("%+v", letters)
		}
		if got := kafkatest.Handled(t, cluster, paid); len(got) != 0 {
			t.Error(got)
		}
	})
}

func TestStartAtLatestMissesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1})
		cluster.Start(t, eventbus.On(placed, check, eventbus.StartAt(eventbus.Latest())))
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 2})
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 2})
	})
}

func TestBatchCountsWhatSucceeded(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	kafkatest.Publish(t, cluster, placed, orderPlaced{"a", -1}, orderPlaced{"a", 2}, orderPlaced{"a", 3})
	cluster.Start(t, eventbus.OnBatch(placed, func(_ context.Context, events []orderPlaced) error {
		failed := make(map[int]error)
		for i, e := range events {
			if e.Amount < 0 {
				failed[i] = errNegative
			}
		}
		if len(failed) > 0 {
			return &eventbus.BatchError{Errors: failed}
		}
		return nil
	}))
	cluster.Settle(t)
	kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 2}, orderPlaced{"a", 3})
	kafkatest.DeadLettered(t, cluster, placed, orderPlaced{"a", -1})
}

// An hour of backoff passes in fake time, and Settle waits for it.
func TestInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.NewMemory(t)
		var attempts atomic.Int32
		began := time.Now()
		cluster.Start(t, eventbus.On(placed, func(context.Context, orderPlaced) error {
			if attempts.Add(1) == 1 {
				return eventbus.RetryAfter(time.Hour, errors.New("not yet"))
			}
			return nil
		}, eventbus.Retry(resilience.Retry{Elapsed: 2 * time.Hour})))
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1})
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 1})
		if took := time.Since(began); attempts.Load() != 2 || took < time.Hour || took > 3*time.Hour {
			t.Errorf("%d attempts in %v", attempts.Load(), took)
		}
	})
}

// The Kafka protocol works under fake time too, even several times in a process:
// nothing that outlives a bubble, or is finalized after it, may belong to it.
func TestBrokerInBubble(t *testing.T) {
	for _, compression := range []string{"none", "zstd", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := kafkatest.NewBroker(t)
				var attempts atomic.Int32
				began := time.Now()
				bus := cluster.Bus(t, func(c *eventbus.Config) { c.Producer.Compression = compression })
				if err := eventbus.Subscribe(bus, placed, func(_ context.Context, e orderPlaced) error {
					if e.Amount < 0 {
						return eventbus.Permanent(errNegative)
					}
					if attempts.Add(1) == 1 {
						return eventbus.RetryAfter(time.Hour, errors.New("not yet"))
					}
					return nil
				}, eventbus.Retry(resilience.Retry{Elapsed: 2 * time.Hour})); err != nil {
					t.Fatal(err)
				}
				if err := bus.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				good := slices.Repeat([]orderPlaced{{"a", 1}}, 50) // enough to be worth compressing
				if err := eventbus.NewPublisher(bus, placed).PublishBatch(t.Context(), append(good, orderPlaced{"b", -1})); err != nil {
					t.Fatal(err)
				}
				cluster.Settle(t)
				kafkatest.Published(t, cluster, placed, append(good, orderPlaced{"b", -1})...)
				kafkatest.Handled(t, cluster, placed, good...)
				kafkatest.DeadLettered(t, cluster, placed, orderPlaced{"b", -1})
				if took := time.Since(began); took < time.Hour || took > 3*time.Hour {
					t.Errorf("%v of the bubble's time", took)
				}
			})
			runtime.GC()
		})
	}
}

// An error that marks no event of its batch fails all of them.
func TestBatchErrorWithoutMarks(t *testing.T) {
	for name, err := range map[string]error{"empty": new(eventbus.BatchError), "nil": (*eventbus.BatchError)(nil), "beyond": eventbus.StoppedAt(9, errNegative)} {
		t.Run(name, func(t *testing.T) {
			cluster := kafkatest.NewMemory(t)
			kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"a", 2})
			cluster.Start(t, eventbus.OnBatch(placed, func(_ context.Context, events []orderPlaced) error {
				if len(events) > 1 {
					return err
				}
				return nil
			}))
			cluster.Settle(t)
			kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"a", 2})
		})
	}
}

// Settle waits for events that only time can bring: those that wait for a full batch
// or a rate limit.
func TestSettleWaitsForBatchesAndLimits(t *testing.T) {
	for name, options := range map[string][]eventbus.SubscribeOption{
		"batch": {eventbus.BatchSize(10), eventbus.BatchWait(time.Minute)},
		"limit": {eventbus.BatchSize(5), eventbus.RateLimit(0.1, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := kafkatest.NewMemory(t)
				var events []orderPlaced
				for i := range 6 {
					events = append(events, orderPlaced{"a", i})
				}
				kafkatest.Publish(t, cluster, placed, events...)
				cluster.Start(t, eventbus.OnBatch(placed, func(context.Context, []orderPlaced) error { return nil }, options...))
				cluster.Settle(t)
				kafkatest.Handled(t, cluster, placed, events...)
			})
		})
	}
}

// The end of a subtest that published does not fail what others are publishing.
func TestPublishBesideASubtestThatEnds(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	published, encoding, ended, done := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	slow := eventbus.NewTopic(eventbus.TopicConfig[orderPlaced]{Domain: "shop", Name: "slow", Key: func(e orderPlaced) string {
		close(encoding)
		<-ended
		return e.OrderID
	}})
	go func() {
		defer close(done)
		<-published
		kafkatest.Publish(t, cluster, slow, orderPlaced{"b", 1})
	}()
	t.Run("one that ends", func(t *testing.T) {
		t.Cleanup(func() { close(ended) }) // after all that Publish may have left to clean up
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1})
		close(published)
		<-encoding
	})
	<-done
}
