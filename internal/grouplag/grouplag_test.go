package grouplag_test

import (
	"context"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/internal/grouplag"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestOf: the lag of a partition with a commit, of one that a member has without a
// commit, and of one from which retention has removed events that the group had not
// handled.
func TestOf(t *testing.T) {
	broker := kafkatest.NewBroker(t)
	cluster := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	defer cluster.Close(context.Background())
	if err := cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: "t", Partitions: 4}); err != nil {
		t.Fatal(err)
	}
	at := func(n int32) transport.Partition { return transport.Partition{Topic: "t", Partition: n} }
	for n := range int32(4) {
		for range 4 {
			broker.Produce(t, transport.Record{Topic: "t", Partition: n, Value: []byte("x")})
		}
	}
	admin := kafka.NewAdmin(cluster)
	if err := admin.DeleteRecords(t.Context(), map[transport.Partition]int64{at(1): 3, at(2): 1}); err != nil {
		t.Fatal(err)
	}
	for n, offset := range map[int32]int64{0: 3, 1: 1} {
		if err := admin.ResetGroup(t.Context(), "g", transport.Commit{Partition: at(n), Offset: offset, LeaderEpoch: -1}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := grouplag.Of(t.Context(), cluster, "g", map[transport.Partition]string{at(2): "m"})
	want := []grouplag.Partition{
		{Topic: "t", Partition: 0, Committed: 3, End: 4, Lag: 1},
		{Topic: "t", Partition: 1, Committed: 1, End: 4, Lag: 1}, // three are gone, of which two were not handled
		{Topic: "t", Partition: 2, Committed: -1, End: 4, Lag: 3, Member: "m"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	// JSON shows it as a list.
	if none, err := grouplag.Of(t.Context(), cluster, "nobody", nil); err != nil || none == nil || len(none) != 0 {
		t.Errorf("a group without commits: %v, %v", none, err)
	}
}
