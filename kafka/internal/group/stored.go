package group

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/kafka/internal/balance"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/transport"
)

// What the group handled lately outlives its members in the metadata of one commit:
// the types that members handle, and those without a handler with the time since
// when. A member reads it once it has joined, and until then it knows of no type that
// nobody handles it. So a type that only members handled which are gone is held for
// it, even if no present member ever saw them.
//
// One partition carries it, and its owner alone writes it, with every commit of that
// partition and whenever it changes: two writers of a partition could move its offset
// back. A member reads it from the commits of all partitions, because the carrier may
// have been another before.
const (
	typesOpens = " types="
	// typesSize bounds it, in characters: what the flow control of package engine
	// leaves free of a commit's metadata. That is room for 180 types.
	typesSize = 1024
	// storedAge is how soon a change is written that nothing signals: of the partition
	// that carries it.
	storedAge = 5 * time.Second
)

// storedTypes is the state of that. It is guarded by groupTypes.mu.
type storedTypes struct {
	// recalled is set once the member has read what was stored, after it has joined.
	recalled bool
	carrier  transport.Partition // whose commits carry the types; zero for none
	// saved is what the carrier's commit has of the types, without the time of
	// writing; stale says that this is not known.
	saved string
	stale bool
	// refused says that the brokers take no metadata of that size.
	refused bool
}

// joinTypes and splitTypes put types behind a commit's metadata, in front of a mark,
// and split them off. Metadata that has nothing of the kind is left as it is.
func joinTypes(metadata, types string, limit int) string {
	if types == "" || len(metadata)+len(typesOpens)+len(types) > limit {
		return metadata
	}
	return metadata + typesOpens + types
}

// What follows typesOpens must be types as AppendStored writes them: other metadata, which
// may be any client's, is not touched.
func splitTypes(metadata string) (rest string, t balance.Types, ok bool) {
	at := strings.LastIndex(metadata, typesOpens)
	if at < 0 {
		return metadata, t, false
	}
	raw, err := markID.DecodeString(metadata[at+len(typesOpens):])
	if err != nil {
		return metadata, t, false
	}
	if t, ok = balance.ReadStored(raw); !ok {
		return metadata, t, false
	}
	return metadata[:at], t, true
}

// encodeStored returns the types as a commit carries them beside other metadata of a size,
// and without the time of writing, to compare.
func (h *groupTypes) encodeStored(beside int, now time.Time) (text, content string) {
	// Sorted, so that the same types make the same text.
	t := balance.Types{Live: h.book.Live(), Gone: h.book.Gone()}
	chars := min(typesSize, markedSize-markSize-beside) - len(typesOpens)
	room := max(base64.RawURLEncoding.DecodedLen(max(chars, 0)), 0)
	content = string(t.AppendStored(nil, room))
	t.At = now
	return markID.EncodeToString(t.AppendStored(nil, room)), content
}

// carry puts the types behind the metadata of a commit of the partition that carries
// them, which has no mark yet.
func (h *groupTypes) carry(c *transport.Commit) {
	h.mu.Lock()
	// Not before the member has read what was stored: it would overwrite what it has not seen.
	carries := h.stored.carrier == c.Partition && h.stored.recalled && !h.stored.refused
	h.mu.Unlock()
	if carries {
		types, _ := h.encodeStored(len(c.Metadata), time.Now())
		c.Metadata = joinTypes(c.Metadata, types, markedSize-markSize)
	}
}

// tooLarge reports whether a commit failed because of the types in its metadata, and
// no later commit has any then.
func (h *groupTypes) tooLarge(failed map[transport.Partition]error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := &h.stored
	if l.refused || !errors.Is(failed[l.carrier], transport.ErrMetadataTooLarge) {
		return false
	}
	// For the life of the member: what brokers take rarely changes, and the next one tries.
	l.refused = true
	return true
}

// lost notes that the member is out of the group: when it is in again, others may
// have come and left.
func (h *groupTypes) lost() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored.recalled = false
}

// assigned notes that partitions begin, whose commits may be new.
func (h *groupTypes) assigned() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored.stale = true
	fetch.Signal(h.news)
}

// recall takes in what is stored in commits. Of several the last that was written
// says which types were handled at the end; what another has was handled until it was
// written.
func (h *groupTypes) recall(commits map[transport.Partition]transport.Commit, now time.Time) {
	var last balance.Types
	var gone []grouptypes.Gone
	// A commit that was not the last to be written is of a former carrier.
	ended := func(t *balance.Types) {
		for _, id := range t.Live {
			gone = append(gone, grouptypes.Gone{ID: id, At: t.At})
		}
	}
	for _, c := range commits {
		metadata, _ := unmark(c.Metadata)
		_, t, ok := splitTypes(metadata)
		if !ok {
			continue
		}
		gone = append(gone, t.Gone...)
		if t.At.After(last.At) {
			last, t = t, last
		}
		ended(&t)
	}
	// The book finds out, by what is handled now, which of the last have lost their handler.
	h.book.Recall(last.Live, gone, now)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored.recalled, h.stored.stale = true, true
}
