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

// Filter chooses letters. The zero Filter takes all. A letter has to meet every
// condition that is set, and of a condition with several values any one.
type Filter struct {
	Types        []string
	Keys         []string
	Reasons      []string
	Fingerprints []string
	States       []State
	// After and Before bound the time of the last failure, [After, Before). A
	// zero time is no bound.
	After, Before time.Time
}

// Takes reports whether the filter chooses a letter that is in state s.
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

// Type returns the CloudEvents type of a letter, and "" for a record without
// one.
func Type(l *letter.Letter) string {
	typ, _ := wire.Type(l.Record)
	return typ
}

// accidents matches what differs between two errors of one cause: identifiers,
// quoted values, numbers and addresses. The longer forms come first, since what
// they match holds the shorter ones.
var accidents = []*regexp.Regexp{
	regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`),
	regexp.MustCompile(`"[^"]*"|'[^']*'|` + "`[^`]*`"),
	regexp.MustCompile(`\b(0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*\b`),
	regexp.MustCompile(`[0-9]+`),
}

// Gist returns the text of an error without what differs from event to event.
func Gist(l *letter.Letter) string {
	text := l.Error
	for _, a := range accidents {
		text = a.ReplaceAllString(text, "…")
	}
	return text
}

// Fingerprint returns eight hexadecimal characters that are the same for
// letters with the same reason and Gist. It is stable between versions of the
// tool as long as accidents is, since scripts contain it.
func Fingerprint(l *letter.Letter) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(l.Reason + "\x00" + Gist(l)))
	return fmt.Sprintf("%08x", h.Sum32())
}
