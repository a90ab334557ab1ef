package memory_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
	"github.com/eventbus-go/eventbus/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everything tells the suite how to do what the transport's interfaces can't.
func everything(more ...transporttest.Option) []transporttest.Option {
	return append(more,
		transporttest.MetadataLimit(4096),
		transporttest.AddPartitions(func(_ context.Context, tr transport.Transport, topic string, total int32) error {
			return tr.(*memory.Cluster).AddPartitions(topic, total)
		}),
		transporttest.DeleteRecords(func(_ context.Context, tr transport.Transport, p transport.Partition, before int64) error {
			return tr.(*memory.Cluster).DeleteRecords(p.Topic, p.Partition, before)
		}),
		transporttest.DeleteTopic(func(_ context.Context, tr transport.Transport, topic string) error {
			return tr.(*memory.Cluster).DeleteTopic(topic)
		}),
	)
}

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(*testing.T) transport.Transport { return memory.New() },
		everything(transporttest.Parallel(),
			transporttest.Lacks("Group/SilentStays", "TestConformanceInBubble runs it without the wait"))...)
}

// TestConformanceInBubble also shows that a Cluster waits only on channels and timers, and
// that the engine of the suite uses no memory after its release, since that is overwritten.
func TestConformanceInBubble(t *testing.T) {
	transporttest.Run(t, func(*testing.T) transport.Transport { return memory.New() },
		everything(transporttest.InBubble(), transporttest.Leaks())...)
}
