package doctor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/doctor"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

// TestKeys writes to a topic with several partitioners, and checks the doctor's
// finding.
func TestKeys(t *testing.T) {
	broker := kafkatest.NewBroker(t)
	cluster := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	t.Cleanup(func() { _ = cluster.Close(context.Background()) })
	const partitions = 6
	own := declare.PartitionBy("length", func(key []byte, n int32) int32 { return int32(len(key)) % n })
	type written struct {
		by    declare.Partitioner
		first int // of 15 keys
	}
	for name, c := range map[string]struct {
		declared string
		writers  []written
		verdict  string // "" for none
		want     string
	}{
		"as declared":           {"", []written{{declare.Murmur2, 0}}, doctor.Fine, "15 keys where murmur2 puts them"},
		"as declared, fnv1a":    {"fnv1a", []written{{declare.FNV1a, 0}}, doctor.Fine, "15 keys where fnv1a puts them"},
		"another than declared": {"", []written{{declare.FNV1a, 0}}, doctor.Warning, "of 15 keys are in partitions that murmur2 does not choose, which is declared: fnv1a (kafka-go's Hash, sarama, Watermill) does"},
		"two, the same keys":    {"", []written{{declare.Murmur2, 0}, {declare.CRC32, 0}}, doctor.Warning, "in more than one partition (one at "},
		"two, other keys":       {"crc32", []written{{declare.CRC32, 0}, {declare.Murmur2, 15}}, doctor.Warning, "of 30 keys are in partitions that crc32 does not choose, which is declared: murmur2 (Java, franz-go, eventbus) does"},
		"one of its own":        {"", []written{{own, 0}}, doctor.Warning, "nor does any other that is known"},
		"one of its own, known": {"length", []written{{own, 0}}, doctor.Fine, "15 keys in one partition each"},
		"no keys":               {"", nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			topic := strings.Map(func(r rune) rune {
				if r == ' ' || r == ',' {
					return '-'
				}
				return r
			}, name)
			if err := kafka.NewAdmin(cluster).CreateTopics(t.Context(), transport.TopicSpec{Name: topic, Partitions: partitions}); err != nil {
				t.Fatal(err)
			}
			records := []transport.Record{{Topic: topic, Partition: 2, Value: []byte("no key")}}
			for _, w := range c.writers {
				for i := range 15 {
					key := fmt.Appendf(nil, "customer-%d", w.first+i)
					records = append(records, transport.Record{Topic: topic, Partition: w.by.Of(key, partitions), Key: key, Value: []byte("x")})
				}
			}
			broker.Produce(t, records...)
			var found doctor.Findings
			doctor.Keys(t.Context(), &found, cluster, &transport.TopicInfo{Name: topic, Partitions: partitions}, c.declared)
			switch {
			case c.verdict == "" && len(found) > 0 || c.verdict != "" && len(found) != 1:
				t.Fatalf("found %v", found)
			case c.verdict != "" && (found[0].Verdict != c.verdict || !strings.Contains(found[0].Finding, c.want) || (found[0].Remedy == "") != (c.verdict == doctor.Fine)):
				t.Errorf("found %+v, want %s with %q", found[0], c.verdict, c.want)
			}
			if len(found) > 0 {
				t.Log(found[0].Finding)
			}
		})
	}
}

// TestKeysOfOnePartition: there is nothing to choose, and nothing is read.
func TestKeysOfOnePartition(t *testing.T) {
	var found doctor.Findings
	doctor.Keys(t.Context(), &found, nil, &transport.TopicInfo{Name: "t", Partitions: 1}, "")
	if len(found) > 0 {
		t.Errorf("found %v", found)
	}
}
