package scan_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEach reads stretches of partitions of four records, of which retention has
// taken all of one and two of another.
func TestEach(t *testing.T) {
	broker := kafkatest.NewBroker(t)
	cluster := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	defer cluster.Close(context.Background())
	whole, cut, empty := transport.Partition{Topic: "t"}, transport.Partition{Topic: "t", Partition: 1}, transport.Partition{Topic: "t", Partition: 2}
	if err := cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: "t", Partitions: 3}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []transport.Partition{whole, cut, empty} {
		for range 4 {
			broker.Produce(t, transport.Record{Topic: p.Topic, Partition: p.Partition, Value: []byte("x")})
		}
	}
	if err := kafka.NewAdmin(cluster).DeleteRecords(t.Context(), map[transport.Partition]int64{cut: 2, empty: 4}); err != nil {
		t.Fatal(err)
	}
	type offsets = map[transport.Partition]int64
	failure := fmt.Errorf("the broker has gone: %w", io.EOF)
	for _, c := range []struct {
		name     string
		from, to offsets
		until    string // the record at which see returns end
		end      error
		want     []string
		err      error
	}{
		{"all", offsets{whole: 0}, offsets{whole: 4}, "", nil, []string{"t/0@0", "t/0@1", "t/0@2", "t/0@3"}, nil},
		{"a part", offsets{whole: 1}, offsets{whole: 3, cut: 4}, "", nil, []string{"t/0@1", "t/0@2"}, nil},
		{"what retention has left", offsets{cut: 0, empty: 0}, offsets{cut: 3, empty: 4}, "", nil, []string{"t/1@2"}, nil},
		{"nothing", offsets{whole: 4}, offsets{whole: 4}, "", nil, nil, nil},
		{"nowhere", nil, nil, "", nil, nil, nil},
		{"enough", offsets{whole: 2}, nil, "t/0@3", scan.ErrEnough, []string{"t/0@2", "t/0@3"}, nil},
		{"a failure that reads like an end", offsets{whole: 0}, offsets{whole: 4}, "t/0@1", failure, []string{"t/0@0", "t/0@1"}, failure},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var seen []string
			err := scan.Each(ctx, cluster, c.from, c.to, func(r *transport.Record) error {
				at := fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)
				if seen = append(seen, at); at == c.until {
					return c.end
				}
				return nil
			})
			if !slices.Equal(seen, c.want) || !errors.Is(err, c.err) {
				t.Errorf("saw %v, %v, want %v, %v", seen, err, c.want, c.err)
			}
		})
	}
}

// TestFollow reads without an end, until its context ends.
func TestFollow(t *testing.T) {
	broker := kafkatest.NewBroker(t)
	cluster := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	defer cluster.Close(context.Background())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	broker.Produce(t, transport.Record{Topic: "t", Partition: 0, Value: []byte("x")})
	err := scan.Each(ctx, cluster, map[transport.Partition]int64{{Topic: "t"}: 0}, nil, func(r *transport.Record) error {
		switch r.Offset {
		case 0:
			broker.Produce(t, transport.Record{Topic: "t", Partition: 0, Value: []byte("y")})
		case 1:
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}
