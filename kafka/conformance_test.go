package kafka_test

import (
	"context"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/transporttest"
)

// fake is the in-process cluster of the test that runs.
type fake struct{ *kfake.Cluster }

// open starts a cluster of three brokers on loopback.
func (f *fake) open(t *testing.T) transport.Transport {
	f.start(t)
	return kafka.New(kafka.Config{Brokers: f.ListenAddrs()})
}

// openInBubble starts one on a network in memory, which testing/synctest can
// wait for.
func (f *fake) openInBubble(t *testing.T) transport.Transport {
	network := &kfake.VirtualNetwork{}
	f.start(t, kfake.ListenFn(network.Listen), kfake.Ports(9092, 9093, 9094))
	return kafka.New(kafka.Config{Brokers: f.ListenAddrs(), Dial: network.DialContext})
}

func (f *fake) start(t *testing.T, options ...kfake.Opt) {
	t.Helper()
	c, err := kfake.NewCluster(append(options, kfake.NumBrokers(3))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	f.Cluster = c
}

// options say what the in-process broker can do.
func (f *fake) options() []transporttest.Option {
	return []transporttest.Option{
		transporttest.Lacks("Admin/Refused", "the in-process broker takes any name"),
		transporttest.DeleteRecords(func(_ context.Context, _ transport.Transport, p transport.Partition, before int64) error {
			return f.DeleteRecords(p.Topic, p.Partition, before)
		}),
		transporttest.AddPartitions(f.addPartitions),
		transporttest.DeleteTopic(func(_ context.Context, _ transport.Transport, topic string) error {
			return f.DeleteTopic(topic)
		}),
	}
}

func (f *fake) addPartitions(ctx context.Context, tr transport.Transport, topic string, total int32) error {
	connections := &kafkago.Transport{Dial: kafka.DialOf(tr)}
	defer connections.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(f.ListenAddrs()...), Transport: connections}
	resp, err := client.CreatePartitions(ctx, &kafkago.CreatePartitionsRequest{
		Topics: []kafkago.TopicPartitionsConfig{{Name: topic, Count: total}},
	})
	if err == nil {
		err = resp.Errors[topic]
	}
	if err == nil {
		// A producer made from now on knows them.
		_, err = tr.Admin().Topics(ctx, topic)
	}
	return err
}

// TestConformance holds the driver to what every transport promises.
func TestConformance(t *testing.T) {
	f := &fake{}
	transporttest.Run(t, f.open, append(f.options(), transporttest.Leaks(goleak.IgnoreCurrent()))...)
}

// TestConformanceInBubble does the same under a clock that stands still while
// anything can happen: a loop that turns without waiting would hang it, and a
// goroutine that is left fails it.
func TestConformanceInBubble(t *testing.T) {
	f := &fake{}
	transporttest.Run(t, f.openInBubble, append(f.options(), transporttest.InBubble())...)
}
