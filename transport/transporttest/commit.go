package transporttest

import (
	"context"
	"errors"
	"strings"

	"github.com/eventbus-go/eventbus/transport"
)

// commitTests check what a Consumer stores of a group's progress, and which commits it refuses.
var commitTests = []test{
	{"Resume", testCommitResume},
	{"NamesPartitions", testCommitNamesPartitions},
	{"StaleEpoch", testCommitStaleEpoch},
	{"Metadata", testCommitMetadata},
	{"AfterClose", testCommitAfterClose},
}

// testCommitResume: the next member goes on where the last commit says, and gets its
// metadata.
func testCommitResume(r *run) {
	topic, group := r.topic(2), r.name("group")
	r.fill(topic, 0, 10)
	first := r.member(subscription(group, topic, transport.Earliest()))
	// All ten have been delivered, so a transport that commits what it has fetched would let
	// the next member begin at 10.
	first.awaitRecords(at(topic, 0), 10)
	// The second replaces the first, its metadata too.
	first.commit(at(topic, 0), 4, "")
	first.commit(at(topic, 0), 7, "seven; base64+/=")
	first.leave()

	// Earliest must not apply any more: the group has a commit.
	second := r.member(subscription(group, topic, transport.Earliest()))
	// Three or more are waited for, and exactly three allowed: offset 7 is the next to be read,
	// and not the last that was.
	got := second.awaitRecords(at(topic, 0), 3)
	if got[0].Offset != 7 || len(got) != 3 {
		r.Errorf("%d records from offset %d, want 3 from 7", len(got), got[0].Offset)
	}
	// The metadata has the characters of the encodings that the engine stores there.
	if a := second.assignment(at(topic, 0)); a.Offset != 7 || a.Metadata != "seven; base64+/=" {
		r.Errorf("assigned %+v", a)
	}
}

// commitTwo commits on two partitions, of which the second fails, and returns its
// error. The first must be stored: of a commit of several partitions each has an outcome
// of its own, and one that fails must not undo or hide the others.
// That error is nil if Commit named another partition, which is reported here.
func (m *member) commitTwo(good, bad transport.Commit) error {
	m.r.Helper()
	ctx, cancel := m.r.patience()
	defer cancel()
	// One call with both: a transport that fails the whole request at the first refusal, or
	// that returns the error of one without its name, is noticed.
	err := m.consumer.Commit(ctx, good, bad)
	var failed *transport.CommitError
	if !errors.As(err, &failed) {
		m.r.Fatalf("Commit: %v, want a CommitError", err)
	}
	// The caller commits again what is named, and nothing else.
	if len(failed.Partitions) != 1 || failed.Partitions[bad.Partition] == nil {
		m.r.Errorf("Commit: %v, want an error of %v alone", err, bad.Partition)
	}
	return failed.Partitions[bad.Partition]
}

// testCommitNamesPartitions: a partition that is not the member's is refused by name,
// and the others of the call are stored.
func testCommitNamesPartitions(r *run) {
	topic, group := r.topic(1), r.name("group")
	m := r.member(subscription(group, topic, transport.Earliest()))
	m.awaitOwned(1)
	epoch := m.assignment(at(topic, 0)).Epoch
	err := m.commitTwo(
		transport.Commit{Partition: at(topic, 0), Epoch: epoch, Offset: 3, LeaderEpoch: -1},
		transport.Commit{Partition: at(topic, 9), Epoch: epoch, Offset: 3, LeaderEpoch: -1},
	)
	if !errors.Is(err, transport.ErrFenced) {
		r.Errorf("a partition that is not assigned: %v, want ErrFenced", err)
	}
	// Kafka does not compare a commit with the assignment, so the transport has to.
	if c := r.committed(group, topic); len(c) != 1 || c[at(topic, 0)].Offset != 3 {
		r.Errorf("committed %v", c)
	}
}

// testCommitStaleEpoch: a commit under another epoch than the assignment's is fenced.
// Without that, a commit that was under way while the partition went away and came
// back would undo what the owner in between committed.
func testCommitStaleEpoch(r *run) {
	topic, group := r.topic(2), r.name("group")
	m := r.member(subscription(group, topic, transport.Earliest()))
	m.awaitOwned(2)
	err := m.commitTwo(
		transport.Commit{Partition: at(topic, 0), Epoch: m.assignment(at(topic, 0)).Epoch, Offset: 3, LeaderEpoch: -1},
		transport.Commit{Partition: at(topic, 1), Epoch: m.assignment(at(topic, 1)).Epoch + 1000, Offset: 3, LeaderEpoch: -1},
	)
	if !errors.Is(err, transport.ErrFenced) {
		r.Errorf("a stale epoch: %v, want ErrFenced", err)
	}
	// The start was committed when the group came to the topic: 0, and not 3.
	if c := r.committed(group, topic); c[at(topic, 0)].Offset != 3 || c[at(topic, 1)].Offset != 0 {
		r.Errorf("committed %v", c)
	}
}

// testCommitMetadata: metadata at the limit is kept, and metadata past it fails its
// own partition alone.
func testCommitMetadata(r *run) {
	limit := r.suite.metadataLimit
	if limit == 0 {
		r.Skip("the suite was not told a limit")
	}
	topic, group := r.topic(2), r.name("group")
	m := r.member(subscription(group, topic, transport.Earliest()))
	m.awaitOwned(2)
	// The limit is the caller's: notes that the transport stores behind the metadata must not
	// make it smaller.
	full := strings.Repeat("m", limit)
	err := m.commitTwo(
		transport.Commit{Partition: at(topic, 0), Epoch: m.assignment(at(topic, 0)).Epoch, Offset: 3, LeaderEpoch: -1, Metadata: full},
		transport.Commit{Partition: at(topic, 1), Epoch: m.assignment(at(topic, 1)).Epoch, Offset: 3, LeaderEpoch: -1, Metadata: full + "m"},
	)
	if !errors.Is(err, transport.ErrMetadataTooLarge) {
		r.Errorf("metadata of %d characters: %v, want ErrMetadataTooLarge", limit+1, err)
	}
	// Brokers before 3.0 call the refused offset unstable until there is another.
	m.commit(at(topic, 1), 2, "")
	if c := r.committed(group, topic); c[at(topic, 0)].Metadata != full || c[at(topic, 1)].Offset != 2 {
		r.Errorf("committed offset %d with %d characters, and offset %d", c[at(topic, 0)].Offset, len(c[at(topic, 0)].Metadata), c[at(topic, 1)].Offset)
	}
}

// testCommitAfterClose: a member that has left its group stores nothing, and its error names
// the partitions.
func testCommitAfterClose(r *run) {
	topic, group := r.topic(1), r.name("group")
	m := r.member(subscription(group, topic, transport.Earliest()))
	m.awaitOwned(1)
	epoch := m.assignment(at(topic, 0)).Epoch
	m.leave()
	// Kept from before: the member would have none to look up now.
	r.within("Commit after Close", func(ctx context.Context) error {
		err := m.consumer.Commit(ctx, transport.Commit{Partition: at(topic, 0), Epoch: epoch, Offset: 3, LeaderEpoch: -1})
		var failed *transport.CommitError
		if !errors.As(err, &failed) || failed.Partitions[at(topic, 0)] == nil {
			r.Errorf("Commit: %v, want a CommitError that names the partition", err)
		}
		return nil
	})
	// A commit without a member's id would be taken by an empty group, and undo what its next
	// member is going to commit.
	if c := r.committed(group, topic); c[at(topic, 0)].Offset != 0 {
		r.Errorf("committed %v", c)
	}
}
