package group

import (
	"encoding/base64"

	"github.com/eventbus-go/eventbus/transport"
)

// A mark behind a commit's metadata says which topic of the name was committed.
// Only commits of topics that were created again have it. Kafka keeps no id with
// an offset before OffsetCommit version 10 (KAFKA-19186).
const (
	markOpens = " topic="
	markSize  = len(markOpens) + 22
	// markedSize bounds metadata with a mark: more, brokers refuse by default
	// (offset.metadata.max.bytes).
	markedSize = 4096
)

// Strict, so that a mark is written in one way only.
var markID = base64.RawURLEncoding.Strict()

// mark puts a mark behind metadata. Metadata that leaves no room for it is dropped:
// without metadata records are handled again, without the mark the offset counts
// for nothing.
func mark(metadata string, id transport.TopicID) string {
	if len(metadata)+markSize > markedSize {
		metadata = ""
	}
	return metadata + markOpens + markID.EncodeToString(id[:])
}

// unmark splits metadata from its mark, which may be missing: then the id is zero.
func unmark(marked string) (metadata string, id transport.TopicID) {
	at := len(marked) - markSize
	if at < 0 || marked[at:at+len(markOpens)] != markOpens {
		return marked, id
	}
	raw, err := markID.DecodeString(marked[at+len(markOpens):])
	if err != nil || len(raw) != len(id) { // the decoder passes over line ends
		return marked, id
	}
	return marked[:at], transport.TopicID(raw)
}

// UnmarkAll removes the marks from the metadata of commits, and the types that the
// group handled lately, and returns the topic IDs in the marks.
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
