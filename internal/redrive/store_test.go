package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

// id returns the id of the dead-letter topic, and its partitions.
func (p *pile) id(t *testing.T) (id transport.TopicID, all []transport.Partition) {
	t.Helper()
	infos, err := p.cluster.Admin().Topics(t.Context(), p.topic)
	if err != nil {
		t.Fatal(err)
	}
	for i := range infos[0].Partitions {
		all = append(all, transport.Partition{Topic: p.topic, Partition: i})
	}
	return infos[0].ID, all
}

// keep commits for a group, as earlier versions did.
func (p *pile) keep(t *testing.T, group string, commits ...transport.Commit) {
	t.Helper()
	if err := kafka.NewAdmin(p.cluster).KeepOffsets(t.Context(), group, commits...); err != nil {
		t.Fatal(err)
	}
}

// TestEarlierVersions: decisions of earlier versions are read, stored in the new form with the
// first decision, and from then on refused to those versions. Lost decisions do not count as
// open letters.
func TestEarlierVersions(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 300)
		id, all := p.id(t)
		var commits []transport.Commit
		for _, at := range all {
			commits = append(commits, redrive.OldCommit(at, id, 20, 10, redrive.Quarantined))
		}
		p.keep(t, redrive.Group, commits...)
		client := p.client("ann@desk")
		counts := func() string {
			b, err := client.Open(t.Context(), p.topic)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(b.Count(redrive.Open), b.Count(redrive.Quarantined), b.Count(redrive.Replayed), b.Count(redrive.Skipped))
		}
		if got := counts(); got != "210 30 60 0" {
			t.Errorf("%s, want what the earlier version decided", got)
		}
		order := redrive.Order{Topic: p.topic, Who: "ann@desk", Why: "x", Action: redrive.Skip, Filter: redrive.Filter{Ranges: []redrive.Range{redrive.At(1, 50)}}}
		if j, err := client.Start(t.Context(), order, redrive.Run{}); err != nil || j.Done.Skipped != 1 {
			t.Fatalf("%+v, %v", j, err)
		}
		if got := counts(); got != "209 30 60 1" {
			t.Errorf("%s after a decision", got)
		}
		kept, err := p.cluster.Admin().Committed(t.Context(), redrive.GroupKept, p.topic)
		for _, at := range all {
			if kept[at].Metadata != redrive.Marker(at, id).Metadata {
				t.Errorf("%s: an earlier version reads %q, %v", at, kept[at].Metadata, err)
			}
		}
		// The commits no longer count.
		p.keep(t, redrive.Group, redrive.OldCommit(all[0], id, 90, 1, redrive.Skipped))
		if got := counts(); got != "209 30 60 1" {
			t.Errorf("%s after an earlier version decided", got)
		}
	})
}

// TestLost: a marker without records says that decisions are gone.
func TestLost(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 30)
	id, all := p.id(t)
	p.keep(t, redrive.GroupKept, redrive.Marker(all[1], id))
	client := p.client("ann@desk")
	if _, err := client.Open(t.Context(), p.topic); !errors.Is(err, redrive.ErrLost) {
		t.Errorf("opened: %v, want ErrLost", err)
	}
	if _, err := client.Start(t.Context(), redrive.Order{Topic: p.topic, Who: "ann@desk"}, redrive.Run{}); !errors.Is(err, redrive.ErrLost) {
		t.Errorf("replayed: %v, want ErrLost", err)
	}
}

// TestFirstDecision: a process that has read the topic of decisions just before the first
// decision of another one does not report that decisions are lost.
func TestFirstDecision(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 30)
	reader := p.client("console")
	if _, err := reader.Open(t.Context(), p.topic); err != nil {
		t.Fatal(err)
	}
	order := redrive.Order{Topic: p.topic, Who: "ann@desk", Why: "x", Action: redrive.Skip, Filter: redrive.Filter{Ranges: []redrive.Range{redrive.At(1, 5)}}}
	if j, err := p.client("ann@desk").Start(t.Context(), order, redrive.Run{}); err != nil || j.Done.Skipped != 1 {
		t.Fatalf("%+v, %v", j, err)
	}
	reader.ReadNow()
	if b, err := reader.Open(t.Context(), p.topic); err != nil || b.Count(redrive.Skipped) != 1 {
		t.Errorf("opened: %v, want one letter skipped", err)
	}
}

// TestMarkedOnceSeen: readers, too, see the markers after the ledgers, even while an open
// transaction hides the ledgers.
func TestMarkedOnceSeen(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 30)
	_, all := p.id(t)
	commit, err := p.client("ann@desk").Claim(t.Context(), p.topic)
	if err != nil {
		t.Fatal(err)
	}
	other, err := kafka.NewTransactor(t.Context(), p.cluster, "other", kafka.TransactorConfig{})
	if err == nil {
		err = other.Produce(t.Context(), transport.Record{Topic: redrive.Topic, Key: []byte("fence/other.dlq"), Value: []byte("{}")})
	}
	if err != nil {
		t.Fatal(err)
	}
	marked := func() (n int) {
		kept, err := p.cluster.Admin().Committed(t.Context(), redrive.GroupKept, p.topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range all {
			if kept[at].Metadata != "" {
				n++
			}
		}
		return n
	}
	if err := commit(); err != nil || marked() != 0 {
		t.Errorf("%v, %d partitions are marked while nobody can read the ledgers", err, marked())
	}
	if _, err := p.client("console").Open(t.Context(), p.topic); err != nil {
		t.Errorf("opened: %v", err)
	}
	if err := other.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := commit(); err != nil || marked() != len(all) {
		t.Errorf("%v, %d of %d partitions are marked", err, marked(), len(all))
	}
}

// TestRecordsTakenBack: if an unclean election removed records of Topic, the records that took
// their offsets are read.
func TestRecordsTakenBack(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 30)
	reader, writer := p.client("console"), p.client("ann@desk")
	order := redrive.Order{Topic: p.topic, Who: "ann@desk", Why: "x", Action: redrive.Skip, Filter: redrive.Filter{Ranges: []redrive.Range{redrive.At(1, 5)}}}
	for range 2 {
		if _, err := writer.Start(t.Context(), order, redrive.Run{}); err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Open(t.Context(), p.topic); err != nil {
			t.Fatal(err)
		}
		reader.ReadOn(1 << 20)
	}
	if jobs, err := reader.Jobs(t.Context(), p.topic); err != nil || len(jobs) != 2 {
		t.Errorf("%d jobs, %v; want 2", len(jobs), err)
	}
}

// TestNobodyWaitsForOthers: a call for letters or jobs returns when its context ends, even
// while another call waits for a broker.
func TestNobodyWaitsForOthers(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 30)
	client := p.client("console")
	done := client.Busy()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Open(ctx, p.topic); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("opened: %v", err)
	}
	if _, err := client.Jobs(ctx, p.topic); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("listed: %v", err)
	}
	done()
	if _, err := client.Open(t.Context(), p.topic); err != nil {
		t.Errorf("opened later: %v", err)
	}
}

// TestNoTopic: without the topic of decisions, or if it would lose them, nothing is decided.
func TestNoTopic(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 30)
	order := redrive.Order{Topic: p.topic, Who: "console"}
	client := redrive.New(p.cluster, redrive.Config{Who: "console"})
	if b, err := client.Open(t.Context(), p.topic); err != nil || b.Count(redrive.Open) != 30 {
		t.Errorf("opened: %v", err)
	}
	if _, err := client.Start(t.Context(), order, redrive.Run{}); !errors.Is(err, redrive.ErrNoTopic) {
		t.Errorf("%v, want ErrNoTopic", err)
	}
	if _, err := client.Submit(t.Context(), order); !errors.Is(err, redrive.ErrNoTopic) {
		t.Errorf("%v, want ErrNoTopic", err)
	}
	spec := transport.TopicSpec{Name: redrive.Topic, Partitions: 1, Replication: 1, Configs: map[string]string{"cleanup.policy": "delete"}}
	if err := p.cluster.Admin().CreateTopics(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Start(t.Context(), order, redrive.Run{}); err == nil || !strings.Contains(err.Error(), "set it to compact") {
		t.Errorf("%v; want that the topic would forget", err)
	}
}

// TestHostileRecords: a damaged record in the topic of decisions closes its box, is located by
// the error, and is repaired by removing it.
func TestHostileRecords(t *testing.T) {
	c := kafkatest.NewBroker(t)
	p := heap(t, c, 30)
	client := p.client("ann@desk")
	order := redrive.Order{Topic: p.topic, Who: "ann@desk", Filter: redrive.Filter{Keys: []string{"c-1"}}}
	if j, err := client.Start(t.Context(), order, redrive.Run{}); err != nil || j.Done.Replayed != 1 {
		t.Fatalf("%+v, %v", j, err)
	}
	hostile := func(key string, value []byte) {
		p.produce(t, transport.Record{Topic: redrive.Topic, Key: []byte(key), Value: value})
	}
	hostile("\x00\x1b[2J", []byte("x"))
	hostile("page/other.dlq/0/0", []byte("x"))
	order.Filter.Keys = []string{"c-2"}
	if j, err := client.Start(t.Context(), order, redrive.Run{}); err != nil || j.Done.Replayed != 1 {
		t.Fatalf("beside garbage about others: %+v, %v", j, err)
	}
	hostile("page/"+p.topic+"/0/7", []byte("\x1b[2J"))
	order.Filter.Keys = []string{"c-3"}
	for _, try := range []func() error{
		func() error { _, err := p.client("eve@desk").Open(t.Context(), p.topic); return err },
		func() error { _, err := client.Start(t.Context(), order, redrive.Run{}); return err },
		func() error { _, err := p.client("bob@desk").Jobs(t.Context(), ""); return err },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), redrive.Topic+"/0@") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q; want the place of the record", err)
		}
	}
	jobs, _ := client.Jobs(t.Context(), "")
	if len(jobs) != 2 {
		t.Errorf("%d jobs are shown beside garbage, want 2", len(jobs))
	}
	hostile("page/"+p.topic+"/0/7", nil)
	if j, err := client.Start(t.Context(), order, redrive.Run{}); err != nil || j.Done.Replayed != 1 {
		t.Errorf("after the garbage is removed: %+v, %v", j, err)
	}
}

// TestPurge: a purge is recorded, and needs a reason.
func TestPurge(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 300)
		client := p.client("ann@desk")
		order := redrive.Order{Topic: p.topic, Who: "ann@desk", Why: "old", Action: redrive.Skip, Filter: redrive.Filter{Ranges: []redrive.Range{{Partition: 0, To: 40}, {Partition: 0, From: 50, To: 60}}}}
		if j, err := client.Start(t.Context(), order, redrive.Run{}); err != nil || j.Done.Skipped != 50 {
			t.Fatalf("%+v, %v", j.Done, err)
		}
		purge := redrive.Order{Topic: p.topic, Who: "ann@desk", Action: redrive.Purge}
		if _, err := client.Start(t.Context(), purge, redrive.Run{}); err == nil || !strings.Contains(err.Error(), "reason") {
			t.Errorf("without a reason: %v", err)
		}
		purge.Why = "old"
		b, err := client.Open(t.Context(), p.topic)
		if err != nil {
			t.Fatal(err)
		}
		if would := b.Purgeable(false); would.Letters != 40 || would.Behind != 10 || would.Undecided != 0 {
			t.Errorf("%+v would be deleted", would)
		}
		if j, err := client.Start(t.Context(), purge, redrive.Run{}); err != nil || j.Done.Deleted != 40 || j.State != redrive.Done {
			t.Errorf("%+v, %v", j, err)
		}
		purge.IncludingOpen = true
		if would, err := client.Plan(t.Context(), purge, nil); err != nil || would.Tally.Deleted != 260 {
			t.Errorf("%+v, %v", would, err)
		}
		if j, err := client.Start(t.Context(), purge, redrive.Run{}); err != nil || j.Done.Deleted != 260 {
			t.Errorf("%+v, %v", j, err)
		}
		if b, err = client.Open(t.Context(), p.topic); err != nil || b.Count(redrive.Open) != 0 || b.Count(redrive.Skipped) != 50 {
			t.Errorf("%d are open, %v", b.Count(redrive.Open), err)
		}
	})
}

// TestCausesBounded: causes beyond the limit are counted together, and keys beyond the limit
// are estimated.
func TestCausesBounded(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 900)
	box, err := p.client("x").Open(t.Context(), p.topic)
	if err != nil {
		t.Fatal(err)
	}
	all, err := box.Causes(t.Context(), redrive.Filter{}, 2)
	if err != nil || len(all.List) != 2 || all.Letters != 900 || all.Others != 300 {
		t.Errorf("%+v, %v", all, err)
	}
	q := heap(t, kafkatest.NewBroker(t), 0)
	var records []transport.Record
	for i := range 4000 {
		records = append(records, transport.Record{Topic: q.topic, Partition: int32(i % partitions), Key: fmt.Append(nil, i), Value: []byte("x")})
	}
	q.produce(t, records...)
	if box, err = q.client("x").Open(t.Context(), q.topic); err != nil {
		t.Fatal(err)
	}
	all, err = box.Causes(t.Context(), redrive.Filter{}, 0)
	if err != nil || len(all.List) != 1 || all.List[0].Reason != "(foreign)" || !all.List[0].AboutKeys || all.List[0].Keys < 3000 || all.List[0].Keys > 5000 {
		t.Errorf("%+v, %v; want some 4000 keys", all, err)
	}
}
