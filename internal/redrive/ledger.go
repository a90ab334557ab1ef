package redrive

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/transport"
)

// Group is the consumer group whose commits hold the ledgers. It never has
// members, so brokers forget its commits after offsets.retention.minutes, a
// week by default. GroupKept has copies that brokers do not forget.
const (
	Group     = "eventbus-dead-letters"
	GroupKept = Group + ".kept"
)

// State is the decision about a dead letter.
type State uint8

// The states. A letter without a decision is Open. The numbers are stored, two
// bits each.
const (
	Open        State = iota
	Replayed          // brought back to its group
	Skipped           // passed on for good
	Quarantined       // kept out of replays until it is released
)

var stateNames = [...]string{"open", "replayed", "skipped", "quarantined"}

// String returns the state's name in lower case.
func (s State) String() string { return stateNames[s] }

// StateOf returns the state with a name, and whether there is one.
func StateOf(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(max(i, 0)), i >= 0 //nolint:gosec // one of four
}

// done reports whether a letter is finished: it was brought back, or never will
// be.
func (s State) done() bool { return s == Replayed || s == Skipped }

// Ledger holds the decisions about the letters of one partition. In the zero
// Ledger all letters are open.
type Ledger struct {
	// Base is the offset of the first letter that is open or in quarantine: all
	// before it are done.
	Base int64
	// Replayed and Skipped count all letters since the topic was created that
	// were put into the state.
	Replayed, Skipped int64

	// topic is the id of the topic that the decisions are about: a topic that
	// is deleted and created again has other letters at the same offsets.
	topic transport.TopicID
	// revision grows with every commit, so that the newer of two copies is
	// known.
	revision int64
	// marks are the letters from Base on that are not Open: in order, without
	// overlap, and joined where two of one state meet.
	marks []mark
}

// mark is a run of letters in one state, the offsets [from, to).
type mark struct {
	from, to int64
	state    State
}

// State returns the decision about a letter. For a letter before Base it
// returns Replayed: which of the two ways it was done is not kept.
func (l *Ledger) State(offset int64) State {
	if offset < l.Base {
		return Replayed
	}
	if i, found := l.find(offset); found {
		return l.marks[i].state
	}
	return Open
}

// find returns the index of the mark that covers an offset, and true, or the
// index at which such a mark would be inserted.
func (l *Ledger) find(offset int64) (int, bool) {
	i, _ := slices.BinarySearchFunc(l.marks, offset, func(m mark, o int64) int { return cmp.Compare(m.to, o+1) })
	return i, i < len(l.marks) && l.marks[i].from <= offset
}

// Mark records a decision about a letter. It has no effect before Base: what is
// done stays done.
func (l *Ledger) Mark(offset int64, s State) {
	if offset < l.Base || l.State(offset) == s {
		return
	}
	switch s {
	case Replayed:
		l.Replayed++
	case Skipped:
		l.Skipped++
	}
	i, found := l.find(offset)
	if found {
		// The letter leaves a mark of another state, of which up to two parts
		// remain.
		m := l.marks[i]
		l.marks = slices.Delete(l.marks, i, i+1)
		if offset+1 < m.to {
			l.marks = slices.Insert(l.marks, i, mark{offset + 1, m.to, m.state})
		}
		if m.from < offset {
			l.marks = slices.Insert(l.marks, i, mark{m.from, offset, m.state})
			i++
		}
	}
	if s != Open {
		l.insert(i, mark{offset, offset + 1, s})
	}
	l.advance()
}

// insert inserts a mark at i, and joins it with neighbours of the same state.
func (l *Ledger) insert(i int, m mark) {
	if i < len(l.marks) && l.marks[i].from == m.to && l.marks[i].state == m.state {
		m.to = l.marks[i].to
		l.marks = slices.Delete(l.marks, i, i+1)
	}
	if i > 0 && l.marks[i-1].to == m.from && l.marks[i-1].state == m.state {
		l.marks[i-1].to = m.to
		return
	}
	l.marks = slices.Insert(l.marks, i, m)
}

// Pass moves Base over letters before first, which the log no longer has:
// retention or a purge removed them.
func (l *Ledger) Pass(first int64) {
	for len(l.marks) > 0 && l.marks[0].from < first {
		if l.marks[0].to > first {
			l.marks[0].from = first
			break
		}
		l.marks = l.marks[1:]
	}
	l.Base = max(l.Base, first)
	l.advance()
}

// advance moves Base over the letters that are done.
func (l *Ledger) advance() {
	for len(l.marks) > 0 && l.marks[0].from <= l.Base && l.marks[0].state.done() {
		l.Base = l.marks[0].to
		l.marks = l.marks[1:]
	}
}

// Count returns how many letters before end are in a state. For Replayed and
// Skipped these are all since the topic was created.
func (l *Ledger) Count(s State, end int64) int64 {
	switch s {
	case Replayed:
		return l.Replayed
	case Skipped:
		return l.Skipped
	}
	marked, quarantined := int64(0), int64(0)
	for _, m := range l.marks {
		marked += m.to - m.from
		if m.state == Quarantined {
			quarantined += m.to - m.from
		}
	}
	if s == Quarantined {
		return quarantined
	}
	return max(end-l.Base-marked, 0)
}

// A ledger is stored in the metadata of a commit whose offset is Base: the
// prefix, then in Base64 the topic id, the revision and both counts, then the
// length and state of each run from Base on, as unsigned varints, and a CRC-32
// of all that.
const (
	ledgerPrefix = "eventbus-letters1:"
	maxMetadata  = 4096 // offset.metadata.max.bytes of brokers, by default
)

// ErrScattered is the error of a ledger that does not fit into a commit:
// decisions about single letters far apart take a run each.
var ErrScattered = errors.New("the decisions lie too scattered to be remembered")

// Commit returns the commit that holds the ledger.
func (l *Ledger) Commit(p transport.Partition) (transport.Commit, error) {
	raw := append(make([]byte, 0, 256), l.topic[:]...)
	raw = binary.AppendUvarint(raw, uint64(l.revision)) //nolint:gosec // a count
	raw = binary.AppendUvarint(raw, uint64(l.Replayed)) //nolint:gosec // counts
	raw = binary.AppendUvarint(raw, uint64(l.Skipped))  //nolint:gosec // counts
	at := l.Base
	put := func(n int64, s State) {
		if n > 0 {
			raw = binary.AppendUvarint(raw, uint64(n)<<2|uint64(s)) //nolint:gosec // a length
		}
	}
	for _, m := range l.marks {
		put(m.from-at, Open)
		put(m.to-m.from, m.state)
		at = m.to
	}
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	metadata := ledgerPrefix + base64.RawStdEncoding.EncodeToString(raw)
	if len(metadata) > maxMetadata {
		return transport.Commit{}, fmt.Errorf("partition %s: %w: %d stretches between offsets %d and %d take %d characters, the broker stores %d. "+
			"Decide about the open letters before them first, without a filter", p, ErrScattered, len(l.marks), l.Base, at, len(metadata), maxMetadata)
	}
	return transport.Commit{Partition: p, Offset: l.Base, LeaderEpoch: -1, Metadata: metadata}, nil
}

// ReadLedger returns the ledger that a commit of a topic holds. A commit for an
// earlier topic of the same name, and no commit, give the zero Ledger. A commit
// that this package did not write is an error: overwriting it would lose what
// another program keeps there.
func ReadLedger(c transport.Commit, topic transport.TopicID) (*Ledger, error) {
	fresh := &Ledger{topic: topic}
	if c.Metadata == "" && c.Offset <= 0 {
		return fresh, nil
	}
	encoded, ours := strings.CutPrefix(c.Metadata, ledgerPrefix)
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	const head, sum = 16, 4
	if !ours || err != nil || len(raw) < head+sum || crc32.ChecksumIEEE(raw[:len(raw)-sum]) != binary.BigEndian.Uint32(raw[len(raw)-sum:]) {
		return nil, fmt.Errorf("partition %s: what group %s has committed is not what this tool writes: see what else uses the group, then reset it", c.Partition, Group)
	}
	raw = raw[:len(raw)-sum]
	l := &Ledger{Base: c.Offset, topic: transport.TopicID(raw[:head])}
	raw = raw[head:]
	short := false
	next := func() int64 {
		n, size := binary.Uvarint(raw)
		if size <= 0 || n > math.MaxInt64 {
			short = true
			raw = nil
			return 0
		}
		raw = raw[size:]
		return int64(n) //nolint:gosec // looked at above
	}
	l.revision, l.Replayed, l.Skipped = next(), next(), next()
	for at := l.Base; len(raw) > 0; {
		n := next()
		length, state := n>>2, State(n&3)
		if length == 0 || length > math.MaxInt64-at {
			short = true
			break
		}
		if state != Open {
			l.marks = append(l.marks, mark{at, at + length, state})
		}
		at += length
	}
	if short {
		return nil, fmt.Errorf("partition %s: the ledger that group %s has committed is damaged", c.Partition, Group)
	}
	if topic != (transport.TopicID{}) && l.topic != topic {
		return fresh, nil
	}
	return l, nil
}
