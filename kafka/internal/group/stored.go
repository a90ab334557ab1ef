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

// What the group handled lately outlives its members in the metadata of one commit: the types
// that members handle, and those that lost their last handler, with the time. A member reads it
// once it has joined; until then it treats no type as one that nobody handles. So the events of
// a type whose only handlers have left are held, even if no present member ever saw these.
//
// One partition carries this metadata. Its owner alone writes it, with every commit of that
// partition and whenever it changes: two writers could move the partition's offset back. A
// member reads it from the commits of all partitions, because the carrier may have been another
// before.
const (
	typesOpens = " types="
	// typesSize bounds it, in characters: it is what the flow control of package engine leaves
	// free in a commit's metadata, room for 180 types.
	typesSize = 1024
	// storedAge is how soon a change is written that nothing signals, one of the carrier.
	storedAge = 5 * time.Second
)

// storedTypes is the state of this mechanism. groupTypes.mu guards it.
type storedTypes struct {
	// recalled is set once the member, having joined, has read what was stored.
	recalled bool
	carrier  transport.Partition // its commits carry the types; zero if there is none
	// saved is the types in the carrier's commit, without the time of writing; stale means that
	// this is unknown.
	saved string
	stale bool
	// refused means that the brokers refuse metadata of that size.
	refused bool
}

// joinTypes and splitTypes append types to a commit's metadata, before a mark, and split them
// off. Metadata without types is left alone.
func joinTypes(metadata, types string, limit int) string {
	if types == "" || len(metadata)+len(typesOpens)+len(types) > limit {
		return metadata
	}
	return metadata + typesOpens + types
}

// splitTypes accepts only types in AppendStored's form after typesOpens. It does not touch
// other metadata, which may be any client's.
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

// encodeStored returns the types as a commit carries them beside other metadata of a given
// size, and again without the time of writing, for comparing.
func (h *groupTypes) encodeStored(beside int, now time.Time) (text, content string) {
	// Sorted, so that the same types give the same text.
	t := balance.Types{Live: h.book.Live(), Gone: h.book.Gone()}
	chars := min(typesSize, markedSize-markSize-beside) - len(typesOpens)
	room := max(base64.RawURLEncoding.DecodedLen(max(chars, 0)), 0)
	content = string(t.AppendStored(nil, room))
	t.At = now
	return markID.EncodeToString(t.AppendStored(nil, room)), content
}

// carry appends the types to the metadata of a commit, which has no mark yet, if it is of the
// partition that carries them.
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

// tooLarge reports whether a commit failed because of the types in its metadata. If so, later
// commits carry none.
func (h *groupTypes) tooLarge(failed map[transport.Partition]error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := &h.stored
	if l.refused || !errors.Is(failed[l.carrier], transport.ErrMetadataTooLarge) {
		return false
	}
	// For the life of the member: what brokers accept rarely changes, and the next member tries.
	l.refused = true
	return true
}

// lost records that the member is out of the group: by the time it is back, others may have
// come and gone.
func (h *groupTypes) lost() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored.recalled = false
}

// assigned records that partitions begin, whose commits may be new.
func (h *groupTypes) assigned() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored.stale = true
	fetch.Signal(h.news)
}

// recall handles what is stored in commits. The one written last says which types were handled
// at the end; types in an older one were handled until it was written.
func (h *groupTypes) recall(commits map[transport.Partition]transport.Commit, now time.Time) {
	var last balance.Types
	var gone []grouptypes.Gone
	// A commit that was not written last belongs to a former carrier.
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
	// From what is handled now, the book finds out which of the last types have lost their handler.
	h.book.Recall(last.Live, gone, now)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored.recalled, h.stored.stale = true, true
}
