//go:build integration

package interop

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/eventbus-go/eventbus"
)

// TestJavaPartitions lets Java's producer and ours write the same keys to one
// topic, by their own choice of a partition.
func TestJavaPartitions(t *testing.T) {
	needJava(t)
	needKcat(t)
	c := newCluster(t, eventbus.Config{})
	publisher := eventbus.NewPublisher(c.bus, customers)
	var lines strings.Builder
	var events []CustomerCreated
	for _, key := range textKeys(t) {
		events = append(events, CustomerCreated{CustomerID: key})
		lines.WriteString("by:java\t" + key + "\t-\n")
	}
	if err := publisher.PublishBatch(deadline(t), events); err != nil {
		t.Fatal(err)
	}
	javaWrite(t, c, lines.String())

	type choice struct{ ours, java int32 }
	choices := map[string]choice{}
	for _, r := range kcatRead(t, c) {
		chosen, ok := choices[r.key]
		if !ok {
			chosen = choice{-1, -1}
		}
		if r.headers[0] == [2]string{"by", "java"} {
			chosen.java = r.partition
		} else {
			chosen.ours = r.partition
		}
		choices[r.key] = chosen
	}
	if len(choices) != len(events) {
		t.Errorf("%d keys were read, %d written", len(choices), len(events))
	}
	for key, chosen := range choices {
		if chosen.ours != chosen.java {
			t.Errorf("key %q is on partition %d by us, on %d by Java", key, chosen.ours, chosen.java)
		}
	}
}

// textKeys returns the keys of the partitioner's vectors that fit into a line of
// text.
func textKeys(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile("../internal/murmur2/testdata/partitions.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Keys []struct{ Key []byte } }
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, v := range vectors.Keys {
		key := string(v.Key)
		if key != "" && strings.IndexFunc(key, func(r rune) bool { return r == unicode.ReplacementChar || unicode.IsControl(r) }) < 0 {
			keys = append(keys, key)
		}
	}
	if len(keys) < 80 {
		t.Fatalf("only %d keys", len(keys))
	}
	return keys
}
