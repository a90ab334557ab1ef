package redrive

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"

	"github.com/eventbus-go/eventbus/internal/letter"
)

// accidents match what differs between two errors of the same cause: identifiers, quoted values,
// numbers and addresses. The longer forms come first, since they contain the shorter ones.
var accidents = []*regexp.Regexp{
	regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`),
	regexp.MustCompile(`"[^"]*"|'[^']*'|` + "`[^`]*`"),
	regexp.MustCompile(`\b(0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*\b`),
	regexp.MustCompile(`[0-9]+`),
}

// gistBytes bounds the part of an error's text that makes its gist. A service shortens its
// errors to less, but other programs may write a megabyte.
const gistBytes = 2 << 10

// Gist returns the text of an error without what differs from event to event.
func Gist(l *letter.Letter) string {
	text := l.Error
	if len(text) > gistBytes {
		text = strings.ToValidUTF8(text[:gistBytes], "")
	}
	for _, a := range accidents {
		text = a.ReplaceAllString(text, "…")
	}
	return text
}

// foreignReason is the Reason of the cause of records that are not dead letters.
const foreignReason = "(foreign)"

// CauseOf returns the cause by which a letter is counted and chosen: its fingerprint, reason and
// gist. foreign says why the record is not a dead letter, and is nil if it is one.
//
// The fingerprint consists of eight hexadecimal characters, which are the same for letters with
// the same reason, gist and handler. The handler is the type of the event, since all letters of
// a topic are of one group, which has one subscription for a type. A fingerprint is stable
// between versions as long as accidents is, since scripts and stored jobs contain it.
func CauseOf(l *letter.Letter, foreign error) (cause, reason, gist string) {
	reason, gist = l.Reason, Gist(l)
	if foreign != nil {
		reason, gist = foreignReason, foreign.Error()
	}
	return fingerprint(reason, gist, Type(l)), reason, gist
}

// fingerprint hashes texts. 32 bits are enough to distinguish a thousand causes, and short
// enough to type.
func fingerprint(parts ...string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.Join(parts, "\x00")))
	return fmt.Sprintf("%08x", h.Sum32())
}
