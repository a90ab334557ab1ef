package group

import (
	"encoding/base64"

	"github.com/eventbus-go/eventbus/transport"
)

// A mark at the end of a commit's metadata says to which topic of that name the offset belongs.
// Only commits on topics that were created again have one. Kafka stores no topic ID with an offset
// that is committed by name, as in OffsetCommit up to version 9 (KAFKA-19141).
const (
	markOpens = " topic="
	markSize  = len(markOpens) + 22
	// markedSize bounds metadata with a mark, in bytes. Brokers refuse more by default
	// (offset.metadata.max.bytes).
	markedSize = 4096
)

// markID encodes the topic ID. It is strict, so that a mark has only one encoding.
var markID = base64.RawURLEncoding.Strict()

// mark appends a mark to metadata. If there is no room for both, the metadata is dropped: without
// it some records are handled again, while without the mark the offset itself doesn't count.
func mark(metadata string, id transport.TopicID) string {
	if len(metadata)+markSize > markedSize {
		metadata = ""
	}
	return metadata + markOpens + markID.EncodeToString(id[:])
}

// unmark splits marked into the metadata and the topic ID of the mark. Without a mark the ID is
// zero.
func unmark(marked string) (metadata string, id transport.TopicID) {
	at := len(marked) - markSize
	if at < 0 || marked[at:at+len(markOpens)] != markOpens {
		return marked, id
	}
	raw, err := markID.DecodeString(marked[at+len(markOpens):])
	if err != nil || len(raw) != len(id) { // the decoder ignores line ends
		return marked, id
	}
	return marked[:at], transport.TopicID(raw)
}

// UnmarkAll removes the marks, and the types that the group handled lately, from the metadata
// of commits, which it changes. It returns the topic IDs of the marked ones.
func UnmarkAll(commits map[transport.Partition]transport.Commit) (marks map[transport.Partition]transport.TopicID) {
	marks = make(map[transport.Partition]transport.TopicID)
	for p, c := range commits {
		metadata, id := unmark(c.Metadata)
		if metadata != c.Metadata {
			marks[p] = id
		}
		if metadata, _, _ = splitTypes(metadata); metadata != c.Metadata {
			c.Metadata = metadata
			commits[p] = c
		}
	}
	return marks
}
