package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/grouplag"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

func welcome(context.Context, customerCreated) error { return nil }

func TestGroups(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		group := "mailer-" + b.Environment()
		b.run(t, "groups", "describe", group).fails(exitFailed, "does not exist")
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"}, customerCreated{"c-2", "Bob"})
		bus := b.Start(t, eventbus.On(customers, welcome, eventbus.Group(group)))
		b.Settle(t)
		b.run(t, "groups", "list").ok(group)
		b.run(t, "groups", "describe", group).ok("1 member,", b.topic)
		b.run(t, "groups", "reset", group, "--topic", b.topic, "--to", "earliest", "--yes").fails(exitFailed, "1 member (", "stop them first")
		b.run(t, "doctor", "--group", group).ok("group " + group)
		if err := bus.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		var d groupDescription
		b.run(t, "groups", "describe", group, "-o", "json").json(&d)
		if len(d.Members) != 0 || d.Lag != 0 || len(d.Partitions) == 0 {
			t.Errorf("%+v", d)
		}

		b.run(t, "groups", "reset", group, "--topic", b.topic, "--to", "earliest", "--dry-run").ok()
		b.run(t, "groups", "reset", group, "--topic", b.topic, "--to", "earliest").fails(exitMisuse, "2 offsets read again", "--yes")
		b.run(t, "groups", "describe", group, "-o", "json").json(&d)
		if d.Lag != 0 {
			t.Errorf("lag %d before anything was changed", d.Lag)
		}
		b.run(t, "groups", "reset", group, "--topic", b.topic, "--to", "earliest", "--yes").ok()
		b.run(t, "groups", "describe", group, "-o", "json").json(&d)
		if d.Lag != 2 {
			t.Errorf("lag %d after the reset, want 2", d.Lag)
		}
		b.run(t, "groups", "reset", group, "--topic", b.topic+"x", "--to", "0", "--yes").fails(exitFailed, "does not exist")
		b.run(t, "doctor", "--group", group).fails(exitFailed).ended(exitFailed, b.run(t, "doctor", "--group", group).out, []string{"no members, and 2 events left to handle"})
	})
}

// TestDeleteGroup: a group is deleted once its members have stopped, after the tool has said
// what that loses.
func TestDeleteGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		group := "trial-" + b.Environment()
		b.run(t, "groups", "delete", group, "--yes").fails(exitFailed, "does not exist")
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"}, customerCreated{"c-2", "Bob"})
		bus := b.Start(t, eventbus.On(customers, func(context.Context, customerCreated) error { return nil }, eventbus.Group(group)))
		b.Settle(t)
		b.run(t, "groups", "delete", group, "--dry-run").ok(b.topic)
		b.run(t, "groups", "delete", group, "--yes").fails(exitFailed, "1 member (", "stop them first")
		cluster := kafka.New(kafka.Config{Brokers: b.Brokers()})
		defer cluster.Close(context.Background())
		if err := kafka.NewAdmin(cluster).DeleteGroup(t.Context(), group); !errors.Is(err, kafka.ErrGroupBusy) {
			t.Errorf("with a member: %v", err)
		}
		if err := bus.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := b.run(t, "groups", "delete", group, "--dry-run").ok(b.topic, "committed"); !strings.Contains(r.err, "types that the group handled lately") || !strings.Contains(r.err, "Kept: topics") {
			t.Errorf("it says nothing of what is lost and kept: %s", r.err)
		}
		b.run(t, "groups", "delete", group).fails(exitMisuse, "Delete group "+group, "--yes")
		b.run(t, "groups", "describe", group).ok("Empty")
		if r := b.run(t, "groups", "delete", group, "--yes").ok(); !strings.Contains(r.err, "is deleted") {
			t.Errorf("it says %s", r.err)
		}
		b.run(t, "groups", "describe", group).fails(exitFailed, "does not exist")
		if err := kafka.NewAdmin(cluster).DeleteGroup(t.Context(), group); !errors.Is(err, kafka.ErrGroupMissing) {
			t.Errorf("a second time: %v", err)
		}
	})
}

// TestDeleteGroupOfLetters: the groups in which decisions about letters are, or marks that
// they exist, have no members, and more is lost with them than a place in topics.
func TestDeleteGroupOfLetters(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		createTopics(t, b, b.topic)
		cluster := kafka.New(kafka.Config{Brokers: b.Brokers()})
		defer cluster.Close(context.Background())
		for _, group := range []string{redrive.Group, redrive.GroupKept} {
			if err := kafka.NewAdmin(cluster).KeepOffsets(t.Context(), group, transport.Commit{Partition: transport.Partition{Topic: b.topic}, LeaderEpoch: -1}); err != nil {
				t.Fatal(err)
			}
			if r := b.run(t, "groups", "delete", group, "--dry-run").ok(); !strings.Contains(r.err, "Lost: decisions about letters") || strings.Contains(r.err, "Kept") {
				t.Errorf("of %s it says %s", group, r.err)
			}
			b.run(t, "groups", "delete", group).fails(exitMisuse, "may be open again")
		}
	})
}

// TestDeletedGroupStarts: wherever a deleted group starts again, it handles what was brought
// back to it once more, as groups delete says.
func TestDeletedGroupStarts(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		group := "trial-" + b.Environment()
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"})
		on := func(result error, options ...eventbus.SubscribeOption) (calls *atomic.Int64) {
			calls = new(atomic.Int64)
			bus := b.Start(t, eventbus.On(customers, func(context.Context, customerCreated) error {
				calls.Add(1)
				return result
			}, append(options, eventbus.Group(group))...))
			b.Settle(t)
			if err := bus.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			return calls
		}
		on(eventbus.Permanent(errors.New("no such account")))
		b.run(t, "dlq", "replay", b.topic+"."+group+".dlq", "--yes").ok("1 letter replayed")
		on(nil)
		if r := b.run(t, "groups", "delete", group, "--yes").ok(); !strings.Contains(r.err, "handle what is in retry topics once more") {
			t.Errorf("it says %s", r.err)
		}
		if calls := on(nil, eventbus.StartAt(eventbus.Latest())); calls.Load() != 1 {
			t.Errorf("%d events were handled, want the one that was brought back", calls.Load())
		}
	})
}

// TestSkipHeld passes over a record in the commit of a group that is stopped.
func TestSkipHeld(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		group := "held-" + b.Environment()
		records := make([]transport.Record, 4)
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"})
		for i := range records {
			records[i] = transport.Record{Topic: b.topic, Partition: 1, Value: []byte("x")}
		}
		b.Produce(t, records...)
		cluster := kafka.New(kafka.Config{Brokers: b.Brokers()})
		defer cluster.Close(context.Background())
		p := transport.Partition{Topic: b.topic, Partition: 1}
		_, end, err := grouplag.Edges(t.Context(), cluster, p)
		if err != nil {
			t.Fatal(err)
		}
		first := end[p] - 4
		if err := kafka.NewAdmin(cluster).ResetGroup(t.Context(), group, transport.Commit{Partition: p, Offset: first, LeaderEpoch: -1}); err != nil {
			t.Fatal(err)
		}
		at := func(offset int64) string {
			return look(&transport.Record{Topic: b.topic, Partition: 1, Offset: offset}, nil).place()
		}
		b.run(t, "dlq", "skip", at(first+2), "--group", group, "--dry-run").ok("would pass over")
		b.run(t, "dlq", "skip", at(first+2), "--group", group, "--why", "of a test", "--yes").ok("is passed over by", "@", ": of a test")
		b.run(t, "dlq", "skip", at(first+3), "--group", group, "--yes").fails(exitMisuse, "--why is missing")
		b.run(t, "dlq", "skip", at(first+2), "--group", group, "--why", "of a test", "--yes").fails(exitFailed, "passed that offset already")
		b.run(t, "dlq", "skip", at(first+4), "--group", group, "--why", "of a test", "--yes").fails(exitFailed, "no offset")
		var d groupDescription
		b.run(t, "groups", "describe", group, "-o", "json").json(&d)
		if len(d.Partitions) != 1 || d.Partitions[0].Committed != first || d.Partitions[0].Ahead != 1 || d.Partitions[0].Lag != 3 {
			t.Errorf("%+v", d.Partitions)
		}
		b.run(t, "dlq", "skip", at(first), "--group", group, "--why", "of a test", "--yes").ok()
		b.run(t, "dlq", "skip", at(first+1), "--group", group, "--why", "of a test", "--yes").ok()
		positions, err := grouplag.Positions(t.Context(), cluster, group)
		if err != nil {
			t.Fatal(err)
		}
		report, err := engine.ReadCommit(positions[p])
		if err != nil || positions[p].Offset != first+3 || report.Finished != 0 {
			t.Errorf("committed %+v, %+v, %v", positions[p], report, err)
		}
	})
}

// TestSkipAtEarlierVersion: a member of version 0.1 refuses to be told who skips an event and
// why, and gets the order without that.
func TestSkipAtEarlierVersion(t *testing.T) {
	var given []string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		given = append(given, r.URL.Path+" "+string(body))
		if strings.Contains(string(body), `"who"`) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"malformed body: json: unknown field \"who\""}`))
		}
	}))
	defer service.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	start(t, "", "dlq", "skip", "orders/0@7", "--group", "billing", "--admin", service.URL, "--who", "ann", "--why", "of a test", "--yes").ok("is passed over by ann: of a test")
	want := []string{`/groups/billing/skip {"offset":7,"partition":0,"topic":"orders","who":"ann","why":"of a test"}`, `/groups/billing/skip {"offset":7,"partition":0,"topic":"orders"}`}
	if !slices.Equal(given, want) {
		t.Errorf("given %q, want %q", given, want)
	}
}

// TestLibraryOf recognizes members by the types that they announce, or by default client
// ids: those of kafka-go v0.4.51, sarama v1.61, watermill-kafka v3, franz-go v1.22,
// librdkafka 2 and Kafka's Java clients 4.4.
func TestLibraryOf(t *testing.T) {
	for want, members := range map[string][]kafka.GroupMember{
		"eventbus":   {{ClientID: "mailer", TypeIDs: []uint32{1}}, {ClientID: "mailer", Types: map[string][]string{"t": {"a"}}}, {ClientID: "eventbus"}},
		"kafka-go":   {{ClientID: "billing@host-1 (github.com/segmentio/kafka-go)"}},
		"sarama":     {{ClientID: "sarama"}},
		"watermill":  {{ClientID: "watermill"}},
		"franz-go":   {{ClientID: "kgo"}},
		"librdkafka": {{ClientID: "rdkafka"}},
		"Java":       {{ClientID: "consumer-billing-1"}, {ClientID: "console-consumer"}},
		"":           {{ClientID: "billing"}, {}},
	} {
		for _, m := range members {
			if got := libraryOf(&m); got != want {
				t.Errorf("client %q is of %q, want %q", m.ClientID, got, want)
			}
		}
	}
}
