package redrive

import (
	"cmp"
	"context"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/letter"
)

// Cause summarizes the letters with one fingerprint, which most likely failed for the
// same reason. Its texts come from the letters: make them visible before showing them.
type Cause struct {
	Fingerprint string
	Reason      string // "(foreign)" for records that are not dead letters
	Gist        string
	Type        string // empty for records that are not events
	Letters     int64
	// Keys is the number of distinct keys. It is exact up to 255; beyond that it is an
	// estimate, accurate to about a tenth, and AboutKeys is true.
	Keys      int64
	AboutKeys bool
	// First and Last are the earliest and the latest last failure among the
	// letters; zero if none of them has a time.
	First, Last time.Time
	// Example is the place of the first letter of this cause.
	Example Range

	keys sketch
}

// Causes is the result of Box.Causes.
type Causes struct {
	// List has the causes, the most frequent first.
	List []Cause
	// Letters counts all letters that the filter chose. Others counts those whose
	// cause is not in List because there were too many causes.
	Letters, Others int64
}

// MaxCauses is the largest number of distinct causes. With the longest texts that Gist
// returns they take a few megabytes.
const MaxCauses = 1000

// Causes groups the letters that the filter chooses by cause. It distinguishes at most
// limit causes, or MaxCauses if limit is 0. A filter without States chooses the open
// letters. Memory depends on limit, not on the number of letters. With an error, such as
// ctx's, it returns what it has seen so far.
func (b *Box) Causes(ctx context.Context, filter Filter, limit int) (Causes, error) {
	if limit <= 0 || limit > MaxCauses {
		limit = MaxCauses
	}
	// Millions of letters may precede the first open one, all of them decided.
	from := b.All()
	if len(filter.States) == 0 {
		filter.States = []State{Open}
		from = b.Undecided()
	}
	var all Causes
	found := make(map[string]*Cause)
	// The seed is random, so that nobody can choose keys with small hashes.
	seed := maphash.MakeSeed()
	err := b.Each(ctx, from, func(l *letter.Letter, s State, foreign error) error {
		if !filter.Takes(l, s, foreign) {
			return nil
		}
		all.Letters++
		cause, reason, gist := CauseOf(l, foreign)
		// Letters beyond the limit are only counted, so that memory does not grow with error texts
		// that somebody makes up.
		c := found[cause]
		if c == nil {
			if len(found) == limit {
				all.Others++
				return nil
			}
			c = &Cause{Fingerprint: cause, Reason: reason, Gist: gist, Type: strings.Clone(Type(l)), Example: At(l.Record.Partition, l.Record.Offset)}
			found[cause] = c
		}
		c.add(l, maphash.Bytes(seed, l.Record.Key))
		return nil
	})
	for _, c := range found {
		c.Keys, c.AboutKeys = c.keys.count()
		c.keys = sketch{}
		all.List = append(all.List, *c)
	}
	slices.SortFunc(all.List, func(x, y Cause) int {
		return cmp.Or(cmp.Compare(y.Letters, x.Letters), strings.Compare(x.Fingerprint, y.Fingerprint))
	})
	return all, err
}

// add counts a letter. key is the hash of its key.
func (c *Cause) add(l *letter.Letter, key uint64) {
	c.Letters++
	c.keys.add(key)
	if l.LastFailure.IsZero() {
		return
	}
	if c.First.IsZero() || l.LastFailure.Before(c.First) {
		c.First = l.LastFailure
	}
	if l.LastFailure.After(c.Last) {
		c.Last = l.LastFailure
	}
}

// sketchSize is how many hashes a sketch keeps, at 8 bytes each.
const sketchSize = 256

// sketch counts distinct hashes by the smallest of them ("k minimum values"): if
// n hashes are spread evenly, the 256th smallest lies at 256/n of their range.
type sketch struct{ least []uint64 }

// add counts a hash, which may have been counted before.
func (s *sketch) add(hash uint64) {
	if len(s.least) == sketchSize && hash >= s.least[sketchSize-1] {
		return
	}
	i, found := slices.BinarySearch(s.least, hash)
	if found {
		return
	}
	s.least = slices.Insert(s.least, i, hash)
	s.least = s.least[:min(len(s.least), sketchSize)]
}

// count returns the number of distinct hashes, and whether that is an estimate.
func (s *sketch) count() (n int64, about bool) {
	if len(s.least) < sketchSize {
		return int64(len(s.least)), false
	}
	return int64((sketchSize - 1) * (math.MaxUint64 / float64(s.least[sketchSize-1]))), true
}
