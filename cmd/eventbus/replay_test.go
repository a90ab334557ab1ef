package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/resilience"
)

// TestReplay counts by default, and handles events again only with --apply and a reason.
func TestReplay(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"}, customerCreated{"c-2", "Bob"})
		bus := b.Bus(t, func(c *eventbus.Config) { c.Service = "mailer" })
		var handled, bad atomic.Int64
		if err := eventbus.Subscribe(bus, customers, func(_ context.Context, e customerCreated) error {
			handled.Add(1)
			if bad.Load() > 0 {
				return errors.New("no")
			}
			return nil
		}, eventbus.Retry(resilience.NoRetry())); err != nil {
			t.Fatal(err)
		}
		// Not started: a replay needs no live group, so nothing else calls the handler.
		server := httptest.NewServer(admin.Handler(bus))
		defer server.Close()
		group := "mailer-" + strings.SplitN(b.topic, ".", 2)[0]
		replay := func(more ...string) *ran {
			return b.run(t, append([]string{"replay", b.topic, "--group", group, "--admin", server.URL}, more...)...)
		}
		replay("--from", "1h").ok("partition", "customerCreated")
		replay("--from", "1h", "--apply", "--yes").fails(exitMisuse, "--why is missing")
		replay("--from", "1h", "--apply", "--why", "x", "--dry-run").ok("customerCreated")
		replay("--from", "1h", "--apply", "--why", "x").fails(exitMisuse, "--yes")
		replay("--from", "1h", "--apply", "--why", "x", "--yes", "--most", "1").fails(exitFailed, "2 events", "more than 1")
		replay("--from", "1h", "--type", "Other").fails(exitFailed, "no subscription handles")
		replay().fails(exitMisuse, "--from or --offsets")
		replay("--offsets", "x").fails(exitMisuse, "PARTITION@FROM-TO")
		replay("--from", "1h", "--offsets", "0@1").fails(exitMisuse, "contradicts")
		b.run(t, "replay", b.topic, "--group", "nobody", "--admin", server.URL, "--from", "1h").fails(exitFailed, "nobody")
		if n := handled.Load(); n != 0 {
			t.Fatalf("%d events were handled without being asked for", n)
		}
		replay("--from", "1h", "--apply", "--why", "lost mails", "--yes").ok("2 events handled, 0 failed")
		if n := handled.Load(); n != 2 {
			t.Errorf("%d events were handled", n)
		}
		var r admin.Replayed
		replay("--from", "1h", "--key", "c-1", "-o", "json").ok().json(&r)
		var at admin.ReplayedPartition
		for _, p := range r.Partitions {
			if p.Events["customerCreated"] == 1 {
				at = p
			}
		}
		bad.Store(1)
		// Only the named partition is handled, although the others have events too.
		one := replay("--offsets", at0(at.Partition), "--apply", "--why", "again", "--yes")
		one.fails(exitFailed)
		if !strings.Contains(one.out, "failed: ") || strings.Contains(one.out, "0 failed") {
			t.Errorf("what failed is not shown:\n%s%s", one.out, one.err)
		}
	})
}

// at0 is the range of the first offset of a partition.
func at0(partition int32) string { return string('0'+partition) + "@0" }
