package redrive

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/wire"
)

// Filter chooses letters. The zero Filter takes all; of several conditions all
// have to hold, of several values of one condition any.
type Filter struct {
	Types        []string
	Keys         []string
	Reasons      []string
	Fingerprints []string
	States       []State
	// After and Before bound the time of the last failure; zero does not.
	After, Before time.Time
}

// Takes tells whether the filter chooses a letter that is in a state.
func (f *Filter) Takes(l *letter.Letter, s State) bool {
	among := func(values []string, is string) bool { return len(values) == 0 || slices.Contains(values, is) }
	if len(f.States) > 0 && !slices.Contains(f.States, s) || !among(f.Reasons, l.Reason) {
		return false
	}
	if len(f.Keys) > 0 && (l.Record.Key == nil || !slices.Contains(f.Keys, string(l.Record.Key))) {
		return false
	}
	if !f.After.IsZero() && l.LastFailure.Before(f.After) || !f.Before.IsZero() && !l.LastFailure.Before(f.Before) {
		return false
	}
	if len(f.Types) > 0 && !slices.Contains(f.Types, Type(l)) {
		return false
	}
	return len(f.Fingerprints) == 0 || slices.Contains(f.Fingerprints, Fingerprint(l))
}

// Type is the CloudEvents type of a letter, empty for a record that has none.
func Type(l *letter.Letter) string {
	typ, _ := wire.Type(l.Record)
	return typ
}

// What differs between two errors that are one: identifiers, numbers, quoted
// values, addresses.
var accidents = []*regexp.Regexp{
	regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`),
	regexp.MustCompile(`"[^"]*"|'[^']*'|` + "`[^`]*`"),
	regexp.MustCompile(`\b(0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*\b`),
	regexp.MustCompile(`[0-9]+`),
}

// Gist is an error's text without what differs from event to event.
func Gist(l *letter.Letter) string {
	text := l.Error
	for _, a := range accidents {
		text = a.ReplaceAllString(text, "…")
	}
	return text
}

// Fingerprint is the same, eight characters, for letters that died of the same
// thing: the reason and the gist of the error.
func Fingerprint(l *letter.Letter) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(l.Reason + "\x00" + Gist(l)))
	return fmt.Sprintf("%08x", h.Sum32())
}
