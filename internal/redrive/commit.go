package redrive

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"

	"github.com/eventbus-go/eventbus/transport"
)

// Group and GroupKept are the consumer groups in whose commits earlier versions kept
// ledgers, and copies that brokers do not expire. They are read until this version makes
// its first decision about a box. Then it puts a marker into GroupKept: earlier versions
// refuse the marker, and this version knows from it that Topic must have records.
const (
	Group     = "eventbus-dead-letters"
	GroupKept = Group + ".kept"
)

// The metadata of a commit whose offset is the base of a ledger: the prefix, then in Base64
// the topic id, a revision and both counts, the length and state of each run from the base
// on, as unsigned varints, and a CRC-32 of all that. A marker is its prefix and the topic id
// in hexadecimal.
const (
	ledgerPrefix = "eventbus-letters1:"
	markerPrefix = "eventbus-letters2:"
)

// maxRuns bounds the letters that the runs of a commit may mark, and so the memory that a
// forged commit can take.
const maxRuns = 1 << 26

// ErrLost is the error of a box whose decisions should be in Topic, but are not.
var ErrLost = errors.New("what was decided about its letters is lost")

// marker returns the commit that points to Topic.
func marker(p transport.Partition, id transport.TopicID) transport.Commit {
	return transport.Commit{Partition: p, LeaderEpoch: -1, Metadata: markerPrefix + hex.EncodeToString(id[:])}
}

// marks reports whether a commit is the marker of a topic.
func marks(c transport.Commit, id transport.TopicID) bool {
	return c.Metadata == marker(c.Partition, id).Metadata
}

// readCommits returns the ledger in the commits of Group and GroupKept. The one with the
// higher revision counts: brokers expire the commits of Group, and a process may have ended
// before it wrote the copy.
func readCommits(commit, kept transport.Commit, id transport.TopicID) (*ledger, error) {
	if marks(kept, id) {
		return nil, fmt.Errorf("partition %s: %w: topic %s had them and was deleted or cut. Restore it; or delete the group %s, and all letters are open again, those that were brought back too",
			kept.Partition, ErrLost, Topic, GroupKept)
	}
	a, revision, err := readCommit(commit, id)
	if err != nil {
		return nil, err
	}
	b, copied, err := readCommit(kept, id)
	if err != nil {
		return nil, err
	}
	// With equal revisions they are the same ledger.
	if copied > revision {
		return b, nil
	}
	return a, nil
}

// readCommit returns the ledger in a commit of a topic, and its revision. No commit, and a
// commit for an earlier topic of the same name, give the zero ledger. A commit that no
// version of this package wrote is an error: any decision would overwrite what another
// program keeps there.
func readCommit(c transport.Commit, id transport.TopicID) (*ledger, int64, error) {
	fresh := &ledger{}
	if c.Metadata == "" && c.Offset <= 0 || strings.HasPrefix(c.Metadata, markerPrefix) {
		return fresh, 0, nil
	}
	encoded, ours := strings.CutPrefix(c.Metadata, ledgerPrefix)
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	const head, sum = 16, 4
	if !ours || err != nil || len(raw) < head+sum || crc32.ChecksumIEEE(raw[:len(raw)-sum]) != binary.BigEndian.Uint32(raw[len(raw)-sum:]) {
		return nil, 0, fmt.Errorf("partition %s: group %s or %s has a commit that this tool did not write: find out what else uses the group, then reset it", c.Partition, Group, GroupKept)
	}
	of := transport.TopicID(raw[:head])
	r := varints{rest: raw[head : len(raw)-sum]}
	revision, replayed, skipped := r.next(), r.next(), r.next()
	l := newLedger(max(c.Offset, 0), 0, 0, nil)
	// Runs are marked letter by letter, so their sum is bounded. Runs of open letters cost
	// nothing.
	left := int64(maxRuns)
	for at := l.base; len(r.rest) > 0 && !r.short; {
		n := r.next()
		length, state := n>>2, State(n&3)
		if length == 0 || length > math.MaxInt64/2-at || state != Open && length > left {
			r.short = true
			break
		}
		if state != Open {
			left -= length
			for o := at; o < at+length; o++ {
				l.put(o, l.State(o), state)
			}
		}
		at += length
	}
	if r.short {
		return nil, 0, fmt.Errorf("partition %s: the ledger that group %s or %s has committed is damaged", c.Partition, Group, GroupKept)
	}
	if id != (transport.TopicID{}) && of != id {
		return fresh, 0, nil
	}
	l.replayed, l.skipped = replayed, skipped
	l.advance()
	return l, cmp.Or(revision, 1), nil
}

// varints reads unsigned varints. short is set once one is missing or invalid.
type varints struct {
	rest  []byte
	short bool
}

func (v *varints) next() int64 {
	n, size := binary.Uvarint(v.rest)
	if size <= 0 || n > math.MaxInt64 {
		v.short, v.rest = true, nil
		return 0
	}
	v.rest = v.rest[size:]
	return int64(n) //nolint:gosec // checked above
}
