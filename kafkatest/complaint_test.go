package kafkatest_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// complaints is a testing.TB that keeps the messages of its failures.
type complaints struct {
	testing.TB
	text string
}

func (c *complaints) Helper() {}

func (c *complaints) Errorf(format string, args ...any) {
	c.text += fmt.Sprintf(format, args...) + "\n"
}

func (c *complaints) Fatalf(format string, args ...any) {
	c.Errorf(format, args...)
	runtime.Goexit()
}

func (c *complaints) FailNow() { runtime.Goexit() }

// complain runs f, which may call Fatalf, and returns the messages of its failures.
func complain(t *testing.T, f func(testing.TB)) string {
	c := &complaints{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(c)
	}()
	<-ended
	return c.text
}

func TestDifferencesShow(t *testing.T) {
	a1, a2, a3, b1 := orderPlaced{"a", 1}, orderPlaced{"a", 2}, orderPlaced{"a", 3}, orderPlaced{"b", 1}
	for name, c := range map[string]struct {
		published, want []orderPlaced
		complaint       string // empty: none
	}{
		"Equal":             {published: []orderPlaced{a1, a2}, want: []orderPlaced{a1, a2}},
		"KeysInAnyOrder":    {published: []orderPlaced{a1, b1, a2}, want: []orderPlaced{b1, a1, a2}},
		"NothingToCompare":  {published: []orderPlaced{a1}},
		"Missing":           {published: []orderPlaced{a1}, want: []orderPlaced{a1, a2}, complaint: `- {"orderId":"a","amount":2}`},
		"NotWanted":         {published: []orderPlaced{a1, a2}, want: []orderPlaced{a2}, complaint: `+ {"orderId":"a","amount":1}`},
		"KeyNotWanted":      {published: []orderPlaced{a1, b1}, want: []orderPlaced{a1}, complaint: `key "b": 0 wanted, 1 published`},
		"OrderWithinOneKey": {published: []orderPlaced{a2, a1}, want: []orderPlaced{a1, a2}, complaint: `key "a": 2 wanted, 2 published`},
		"Twice":             {published: []orderPlaced{a1, a2, a2, a3}, want: []orderPlaced{a1, a2, a3}, complaint: `(2 as wanted)`},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := kafkatest.NewMemory(t)
			kafkatest.Publish(t, cluster, placed, c.published...)
			complaint := complain(t, func(t testing.TB) { kafkatest.Published(t, cluster, placed, c.want...) })
			if c.complaint == "" && complaint != "" || !strings.Contains(complaint, c.complaint) {
				t.Errorf("the complaint is %q, and should have %q", complaint, c.complaint)
			}
		})
	}
}

// If a cluster does not come to rest, Settle says what it waits for.
func TestSettleSaysWhatIsNotFinished(t *testing.T) {
	for name, c := range map[string]struct {
		prepare   func(*testing.T, *kafkatest.Cluster)
		complaint string
	}{
		"NotStarted": {func(t *testing.T, cluster *kafkatest.Cluster) {
			if err := eventbus.Subscribe(cluster.Bus(t), placed, check); err != nil {
				t.Fatal(err)
			}
		}, "its bus has not been started"},
		"DeadLetterTopicBroken": {func(t *testing.T, cluster *kafkatest.Cluster) {
			bus := cluster.Bus(t, func(c *eventbus.Config) { c.Service = "shop" })
			if err := eventbus.Subscribe(bus, placed, check); err != nil {
				t.Fatal(err)
			}
			if err := bus.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			cluster.Memory().FailProduces(placed.In("Test")+".shop-test.dlq", -1, context.DeadlineExceeded)
		}, `key "b" waits at offset 0: awaiting dead letter after 3 attempts`},
		"FetchHeld": {func(t *testing.T, cluster *kafkatest.Cluster) {
			cluster.Start(t, eventbus.On(placed, check))
			release, err := cluster.Memory().HoldFetches(placed.In("Test"), 2)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(release)
		}, "finished up to offset 0 of 2, 0 events held"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := kafkatest.NewMemory(t)
				c.prepare(t, cluster)
				kafkatest.Publish(t, cluster, placed, orderPlaced{"b", -1}, orderPlaced{"c", 1}, orderPlaced{"d", 1})
				complaint := complain(t, func(t testing.TB) { cluster.Settle(t) })
				if !strings.Contains(complaint, c.complaint) {
					t.Errorf("the complaint is %q, and should have %q", complaint, c.complaint)
				}
			})
		})
	}
}
