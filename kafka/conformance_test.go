package kafka_test

import (
	"os"
	"strings"
	"testing"

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
	return f.openWith(t, kafka.Config{})
}

// openConsumerProtocol is the same for the group protocol of KIP-848.
func (f *fake) openConsumerProtocol(t *testing.T) transport.Transport {
	return f.openWith(t, kafka.Config{ConsumerProtocol: true})
}

func (f *fake) openWith(t *testing.T, cfg kafka.Config) transport.Transport {
	network := &kfake.VirtualNetwork{}
	f.start(t, kfake.ListenFn(network.Listen), kfake.Ports(9092, 9093, 9094))
	cfg.Brokers, cfg.Dial = f.ListenAddrs(), network.DialContext
	return kafka.New(cfg)
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
		transporttest.DeleteRecords(kafka.DeleteRecords),
		transporttest.AddPartitions(kafka.AddPartitions),
		transporttest.DeleteTopic(kafka.DeleteTopic),
	}
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

// TestConformanceConsumerProtocol does the same in the group protocol of KIP-848.
func TestConformanceConsumerProtocol(t *testing.T) {
	f := &fake{}
	transporttest.Run(t, f.openConsumerProtocol, append(f.options(), transporttest.InBubble())...)
}

// TestConformanceOnKafka does the same on the cluster that EVENTBUS_TEST_BROKERS
// names, in both group protocols if it has them.
func TestConformanceOnKafka(t *testing.T) {
	brokers := os.Getenv("EVENTBUS_TEST_BROKERS")
	if brokers == "" {
		t.Skip("EVENTBUS_TEST_BROKERS names no brokers; make test-kafka starts one")
	}
	for name, protocol := range map[string]bool{"Classic": false, "ConsumerProtocol": true} {
		t.Run(name, func(t *testing.T) {
			cfg := kafka.Config{Brokers: strings.Split(brokers, ","), ConsumerProtocol: protocol}
			if protocol && !kafka.HasConsumerProtocol(t, cfg) {
				t.Skip("the brokers are older than Apache Kafka 4.0")
			}
			transporttest.Run(t,
				func(*testing.T) transport.Transport { return kafka.New(cfg) },
				transporttest.MetadataLimit(4096),
				transporttest.AddPartitions(kafka.AddPartitions),
				transporttest.DeleteRecords(kafka.DeleteRecords),
				transporttest.DeleteTopic(kafka.DeleteTopic),
				transporttest.Leaks(goleak.IgnoreCurrent()),
			)
		})
	}
}
