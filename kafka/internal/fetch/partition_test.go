package fetch

import (
	"errors"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/transport"
)

// Successful fetches around damage end other failures, but not the damage: the partition's
// health must not change with every fetch.
func TestSuccessLeavesDamage(t *testing.T) {
	down, damaged := errors.New("down"), new(batch.Fault)
	p := newFetchPartition(&transport.Assignment{Partition: transport.Partition{Topic: "events"}}, 1<<20)
	p.fail(down, time.Now())
	if !errors.Is(p.err, down) || p.failures != 1 {
		t.Errorf("failed: %v, %d times", p.err, p.failures)
	}
	p.succeed()
	if p.err != nil || p.failures != 0 {
		t.Errorf("works: %v, %d failures", p.err, p.failures)
	}
	p.damage = &damage{fault: damaged}
	p.fail(down, time.Now())
	for range 2 {
		p.succeed()
		if p.err != error(damaged) {
			t.Errorf("damaged: %T", p.err)
		}
	}
}

// The size of a fetch grows while the broker is far away and Poll is faster, up to all that a
// request may return. It shrinks when the broker answers quickly again.
func TestFetchGrowsWithDistance(t *testing.T) {
	f := &Fetcher{limit: 64 << 20}
	p := newFetchPartition(&transport.Assignment{Partition: transport.Partition{Topic: "events"}}, f.partitionBytes())
	step := func(what string, more bool, took time.Duration, want int32) {
		t.Helper()
		if got := f.nextBytes(p, more, took); got != want {
			t.Errorf("%s: %d bytes, want %d", what, got, want)
		}
	}
	const far = 20 * time.Millisecond
	step("far", true, far, 2*fetchPartitionBytes)
	step("far, at the end of the log", false, far, 2*fetchPartitionBytes)
	step("far", true, far, fetchRequestBytes)
	p.queue = []*fetched{{}}
	step("far, and Poll is behind", true, far, fetchRequestBytes)
	p.queue = nil
	step("as much as there is", true, far, fetchRequestBytes)
	f.limit = 1 << 20
	step("far, and a small bound", true, far, int32(f.share()))
	f.limit = 64 << 20
	step("near again", true, time.Millisecond, fetchPartitionBytes)
	step("near and busy", true, far, fetchPartitionBytes)
}

// TestCrowded: once partly decompressed batches keep more memory than their share, only those go
// on, and paused partitions give theirs back, so that at least one always does.
func TestCrowded(t *testing.T) {
	half := func(name string, retained int, paused bool) *partition {
		p := newFetchPartition(&transport.Assignment{Partition: transport.Partition{Topic: name}}, 1<<20)
		p.announced, p.paused = true, paused
		p.queue = []*fetched{{retained: retained, memory: &fetchMemory{buffer: batch.NewBuffer(1 << 10)}}}
		return p
	}
	for _, c := range []struct {
		name       string
		partitions []*partition
		picked     string
		given      string // back
	}{
		{"room for all", []*partition{half("a", 200, false), half("b", 0, false), half("c", 300, false)}, "abc", ""},
		{"none is begun", []*partition{half("a", 200, false), half("b", 0, false), half("c", 301, false)}, "ac", ""},
		{"a paused one gives back", []*partition{half("a", 501, true), half("b", 0, false), half("c", 100, false)}, "c", "a"},
		{"paused ones alone hold nobody up", []*partition{half("a", 300, true), half("b", 0, false), half("c", 300, true)}, "b", "ac"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &Fetcher{limit: 1000, order: c.partitions}
			before := make(map[*partition]int)
			for _, p := range c.partitions {
				before[p] = p.queue[0].retained
			}
			picked, given := "", ""
			for _, pick := range f.picks() {
				picked += pick.partition.Topic
			}
			for _, p := range c.partitions {
				if p.queue[0].retained < before[p] {
					given += p.Topic
				}
			}
			if picked != c.picked || given != c.given {
				t.Errorf("picked %q, given back %q, want %q and %q", picked, given, c.picked, c.given)
			}
		})
	}
}
