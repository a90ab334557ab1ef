package fetch

import (
	"errors"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/transport"
)

// What succeeds around a damaged stretch ends other failures and not that one: the
// partition's health must not change with every fetch.
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

// What a fetch may bring grows while the broker is far away and Poll is faster, up to what
// a request may bring, and shrinks when the broker answers quickly again.
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
	step("near", true, time.Millisecond, fetchPartitionBytes)
	step("far", true, far, 2*fetchPartitionBytes)
	step("far, at the end of the log", false, far, 2*fetchPartitionBytes)
	step("far", true, far, fetchRequestBytes)
	p.queue = []*fetched{{}}
	step("far, and Poll is behind", true, far, fetchRequestBytes)
	p.queue = nil
	step("as much as there is", true, far, fetchRequestBytes)
	step("near again", true, time.Millisecond, fetchPartitionBytes)
	f.limit = 1 << 20
	step("far, and a small bound", true, far, int32(f.share()))
}
