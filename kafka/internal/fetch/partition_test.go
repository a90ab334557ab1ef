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
