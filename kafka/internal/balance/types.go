package balance

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/internal/grouptypes"
)

// Members exchange the types that they handle in the user data of JoinGroup and of the
// assignment, where Kafka's assignors have theirs. A member's user data begins with the
// generation, which Java's cooperative assignor reads, ignoring the rest. Then come the marker
// and sections, each a tag and a length, both varints, and that many bytes. Readers skip
// unknown tags, so members of different versions of this library can read each other.
//
// User data without the marker, from other members, says nothing about types.
const marker = "ebus"

// The tags.
const (
	tagNames = 1 // types by name: count of topics; each its index among the subscribed ones, count of names, names
	tagIDs   = 2 // types by ID, four bytes each
	tagGone  = 3 // types without a handler: ID, Unix time as a varint
	tagNonce = 4 // a number that makes the subscription differ from the previous one
	tagKnown = 5 // in an assignment: digest of what the leader knows about this member
	tagAt    = 6 // in a commit's metadata: when it was written, Unix time as a varint
)

// maxNames bounds the names in one member's subscription, in bytes: the coordinator stores
// those of all members in one record. A member with more sends only IDs, which do the same
// but show operators no names.
const maxNames = 4096

// Types is what a member reports about the types that it handles, or a leader about those of
// all members.
type Types struct {
	Names map[string][]string // by topic; nil if there were only IDs
	Live  []grouptypes.ID
	Gone  []grouptypes.Gone
	// Nonce changes the bytes and has no meaning. The coordinator does not rebalance for a
	// member that sends the same subscription again.
	Nonce uint64
	// Known is, in an assignment, the Digest of the Live types of its member as known to the
	// leader; zero if there is none. A static member that comes back gets its former
	// assignment, from a leader that knows what the member handled before.
	Known uint64
	// At is when AppendStored wrote the types; zero otherwise.
	At time.Time
}

// Digest returns a number that identifies a set of types, never zero.
func Digest(ids []grouptypes.ID) uint64 {
	// Sorted, so that the order in which a member lists its types does not matter.
	h := fnv.New64a()
	for _, id := range grouptypes.Sorted(slices.Clone(ids)) {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(id)))
	}
	return max(h.Sum64(), 1)
}

// appendTo appends the marker and the sections, or nothing if there is nothing to report. The
// same types must produce the same bytes: the coordinator rebalances the group for a
// subscription that differs.
func (t *Types) appendTo(b []byte, topics []string) []byte {
	if len(t.Live) == 0 && len(t.Gone) == 0 && t.Known == 0 {
		return b
	}
	b = append(b, marker...)
	// Names are for operators, in the group's description; members compare IDs.
	if names := t.appendNames(nil, topics); len(names) > 0 && len(names) <= maxNames {
		b = appendSection(b, tagNames, names)
	} else {
		var ids []byte
		for _, id := range t.Live[:min(len(t.Live), grouptypes.MaxLive)] {
			ids = binary.BigEndian.AppendUint32(ids, uint32(id))
		}
		b = appendSection(b, tagIDs, ids)
	}
	var gone []byte
	for _, g := range t.Gone[:min(len(t.Gone), grouptypes.MaxGone)] {
		gone = binary.BigEndian.AppendUint32(gone, uint32(g.ID))
		gone = binary.AppendUvarint(gone, uint64(max(g.At.Unix(), 0)))
	}
	if len(gone) > 0 {
		b = appendSection(b, tagGone, gone)
	}
	if t.Nonce > 0 {
		b = appendSection(b, tagNonce, binary.AppendUvarint(nil, t.Nonce))
	}
	if t.Known > 0 {
		b = appendSection(b, tagKnown, binary.AppendUvarint(nil, t.Known))
	}
	if !t.At.IsZero() {
		b = appendSection(b, tagAt, binary.AppendUvarint(nil, uint64(max(t.At.Unix(), 0))))
	}
	return b
}

// AppendStored appends the types in the form stored with a committed offset, in at most limit
// bytes: marker and sections, as in JoinGroup. If not all types fit, handled types come
// before those without a handler, and of the latter those whose handlers left last. It
// appends nothing if there is nothing to store, or no room for one type.
func (t *Types) AppendStored(b []byte, limit int) []byte {
	const (
		around = len(marker) + 3*(1+binary.MaxVarintLen16) + binary.MaxVarintLen64 // everything but the types
		live   = 4
		gone   = live + binary.MaxVarintLen32 // until the year 2106
	)
	room := max(limit-around, 0)
	kept := Types{Live: t.Live[:min(len(t.Live), room/live)], At: t.At}
	kept.Gone = t.Gone[:min(len(t.Gone), (room-live*len(kept.Live))/gone)]
	return kept.appendTo(b, nil)
}

// ReadStored reads what AppendStored has written. ok is false if b is something else.
func ReadStored(b []byte) (t Types, ok bool) { return readTypes(b, nil) }

// appendSection appends a section as tag, length and bytes.
//
//go:noinline
func appendSection(b []byte, tag uint64, body []byte) []byte {
	b = binary.AppendUvarint(b, tag)
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...)
}

// appendNames appends the names by topic, in order, so that the same types produce the same
// bytes. It names only topics with types, by their index in the subscription.
func (t *Types) appendNames(b []byte, topics []string) []byte {
	there := 0
	for _, topic := range topics {
		if len(t.Names[topic]) > 0 {
			there++
		}
	}
	if there == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(there))
	for i, topic := range topics {
		names := t.Names[topic]
		if len(names) == 0 {
			continue
		}
		b = binary.AppendUvarint(b, uint64(i))
		b = binary.AppendUvarint(b, uint64(len(names)))
		for _, name := range slices.Sorted(slices.Values(names)) {
			b = binary.AppendUvarint(b, uint64(len(name)))
			b = append(b, name...)
		}
	}
	return b
}

// readTypes reads what follows the marker. ok is false if there is no marker, or if the rest is
// damaged. Whatever b contains, readTypes takes no more memory than b's own size and the bounds
// of package grouptypes allow.
func readTypes(b []byte, topics []string) (t Types, ok bool) {
	// From another library, or an older version of this one.
	if !bytes.HasPrefix(b, []byte(marker)) {
		return t, false
	}
	r := reader{b: b[len(marker):]}
	for len(r.b) > 0 && !r.bad {
		// Read each section from its own bytes: if a later version has added to one, the next
		// is not disturbed.
		tag := r.number()
		body := reader{b: r.take(r.number())}
		switch tag {
		case tagNames:
			t.readNames(&body, topics)
		case tagIDs:
			for len(body.b) > 0 && !body.bad && len(t.Live) < grouptypes.MaxLive {
				t.Live = append(t.Live, grouptypes.ID(body.four()))
			}
		case tagKnown:
			t.Known = body.number()
		case tagAt:
			t.At = unixTime(body.number())
		case tagGone:
			for len(body.b) > 0 && !body.bad && len(t.Gone) < grouptypes.MaxGone {
				id, at := grouptypes.ID(body.four()), body.number()
				t.Gone = append(t.Gone, grouptypes.Gone{ID: id, At: unixTime(at)})
			}
		}
		r.bad = r.bad || body.bad
	}
	if r.bad {
		return Types{}, false
	}
	return t, true
}

// unixTime bounds a stranger's number: time.Time overflows far beyond.
func unixTime(seconds uint64) time.Time { return time.Unix(int64(min(seconds, 1<<40)), 0) }

// readNames reads the section of tagNames, which refers to topics, those of the subscription,
// by index.
func (t *Types) readNames(r *reader, topics []string) {
	for n := r.number(); n > 0 && !r.bad; n-- {
		at := r.number()
		names := r.number()
		if r.bad || at >= uint64(len(topics)) {
			r.bad = true
			return
		}
		topic := topics[at]
		if t.Names == nil {
			t.Names = make(map[string][]string)
		}
		for ; names > 0 && !r.bad && len(t.Live) < grouptypes.MaxLive; names-- {
			name := string(r.take(r.number()))
			if r.bad {
				return
			}
			t.Names[topic] = append(t.Names[topic], name)
			t.Live = append(t.Live, grouptypes.Of(topic, name))
		}
		if names > 0 {
			r.bad = true
		}
	}
}

// reader reads a stranger's bytes. Once something is missing it is bad and returns zeros, so
// callers check once, at the end. It trusts no length before its bytes are there.
type reader struct {
	b   []byte
	bad bool
}

// number reads a varint.
func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// take returns the next n bytes. They alias the reader's.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

// four reads a number of four bytes, in network order.
func (r *reader) four() uint32 {
	if four := r.take(4); four != nil {
		return binary.BigEndian.Uint32(four)
	}
	return 0
}

// Union returns what a leader sends to all members: the types that any of them handles, and
// those that any of them remembers.
func Union(members []Member) Types {
	var all Types
	for i := range members {
		all.Live = append(all.Live, members[i].Types.Live...)
		all.Gone = append(all.Gone, members[i].Types.Gone...)
	}
	all.Live = grouptypes.Sorted(all.Live)
	return all
}

// DecodeAssignmentTypes reads the types in an assignment. ok is false if the leader sent none,
// because it is of another library or an older version of this one.
func DecodeAssignmentTypes(b []byte) (t Types, ok bool) {
	a := kmsg.NewConsumerMemberAssignment()
	if a.ReadFrom(b) != nil {
		return t, false
	}
	return readTypes(a.UserData, nil)
}

// DecodeTypes reads the types in a member's subscription, as DescribeGroups returns it.
func DecodeTypes(subscription []byte) (t Types, ok bool) {
	m := kmsg.NewConsumerMemberMetadata()
	if m.ReadFrom(subscription) != nil {
		return t, false
	}
	return typesOf(&m)
}

// typesOf reads the types in a subscription, after the generation.
func typesOf(m *kmsg.ConsumerMemberMetadata) (Types, bool) {
	if len(m.UserData) < 4 {
		return Types{}, false
	}
	return readTypes(m.UserData[4:], m.Topics)
}
