package console_test

import (
	"context"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

// TestSearchByKey: a key is found in the partition where its writers put it, whichever
// partitioner they use.
func TestSearchByKey(t *testing.T) {
	const full, partitions = "test.sales.public.payments.v1", 16
	broker := kafkatest.NewBroker(t)
	cluster := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	t.Cleanup(func() { _ = cluster.Close(context.Background()) })
	if err := cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: full, Partitions: partitions, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	// Each key is where one partitioner puts it, and where murmur2 would not.
	keys := map[string]declare.Partitioner{"k-fnv1a": declare.FNV1a, "k-crc32": declare.CRC32}
	for key, by := range keys {
		at := by.Of([]byte(key), partitions)
		if at == declare.Murmur2.Of([]byte(key), partitions) {
			t.Fatalf("%s is where murmur2 puts it, too", key)
		}
		broker.Produce(t, transport.Record{Topic: full, Partition: at, Key: []byte(key), Value: []byte("x")})
	}
	for _, declared := range []string{"", "fnv1a", "crc32", "by country"} {
		document := &catalog.Document{Environment: "Test", Topics: []catalog.Topic{{Name: "sales.public.payments.v1", Partitioner: declared}}}
		if declared == "" {
			document = nil
		}
		h := newConsole(t, func(c *console.Config) { c.Bus, c.Cluster, c.Environment, c.Catalog = nil, cluster, "Test", document })
		for key, by := range keys {
			// If the partitioner is unknown, all partitions are read.
			want := declared == "" || declared == "by country" || declared == by.String()
			page := ask(h, "GET", "/story?by=key&what="+key, "").Body.String()
			if found := strings.Contains(page, "1 event found"); found != want {
				t.Errorf("with the partitioner %q %s is found: %v, %s", declared, key, found, page[strings.Index(page, "<main"):])
			}
		}
	}
}
