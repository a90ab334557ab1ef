package check

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/transport"
)

// deadLetters returns the number of dead letters by the place of their record.
func (t *trial) buried() map[place]int {
	letters := make(map[place]int)
	number := func(r *transport.Record, header string) int64 {
		value, _ := r.Header(header)
		n, _ := strconv.ParseInt(string(value), 10, 64)
		return n
	}
	for _, r := range t.cluster.Records(t.letters) {
		letters[place{int32(number(&r, letter.Partition)), number(&r, letter.Offset)}]++ //nolint:gosec // a partition fits
	}
	return letters
}

// judge compares what happened with the promises. idle says that every record came
// to its end.
func (t *trial) judge(deeds []deed, idle bool) *Report {
	h := t.history
	letters := t.buried()
	// Read before the lock: the cluster's own locks come first.
	committed := t.cluster.Committed(t.group)
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &Report{Seed: t.seed, history: h}
	for _, d := range deeds {
		r.Schedule = append(r.Schedule, d.String())
	}
	keys := make(map[int][]*story)
	for _, record := range t.cluster.Records(t.topic) {
		r.Published++
		at := place{record.Partition, record.Offset}
		// A record that no handler was given is judged too: it may be lost.
		s := h.stories[at]
		if s == nil {
			key, n, _ := t.number(&record)
			s = &story{place: at, key: key, n: n}
			h.stories[at] = s
		}
		s.letters = letters[at]
		passed := committed[transport.Partition{Topic: t.topic, Partition: at.partition}].Offset > at.offset
		t.judgeStory(r, s, passed, idle)
		keys[s.key] = append(keys[s.key], s)
	}
	for key, stories := range keys {
		slices.SortFunc(stories, func(x, y *story) int { return cmp.Compare(x.offset, y.offset) })
		r.judgeOrder(stories, h.crashes)
		if t.effects != nil {
			r.judgeEffects(key, stories, t.effects(key))
		}
	}
	slices.SortStableFunc(r.Findings, func(x, y Finding) int { return cmp.Or(cmp.Compare(x.Key, y.Key), cmp.Compare(x.N, y.N)) })
	return r
}

// judgeRecord judges one record by itself. passed says that the group has committed
// past it.
func (t *trial) judgeStory(r *Report, s *story, passed, idle bool) {
	times, excused := s.handled(t.history.crashes)
	if slices.ContainsFunc(s.attempts, func(a *attempt) bool { return errors.Is(a.err, errNotJoined) }) {
		r.find(Lost, s, "its handler published an event that was refused, and the middleware around it was told of success: what is committed there is taken as done, and the event is never published")
	}
	switch {
	case times > 0:
		r.Handled++
		r.Repeated += times - 1
	case s.letters > 0:
		r.DeadLettered++
		if t.curse(s.key, s.n, 1) != poisoned {
			r.find(Buried, s, "it became a dead letter though nothing was wrong with it but what a retry mends")
		}
	case passed:
		r.find(Lost, s, "the group has committed past it, and it was neither handled nor dead-lettered")
	case !idle:
		r.find(Stuck, s, "it waits, though everything has worked for "+patience.String())
	default:
		r.find(Lost, s, "it was neither handled nor dead-lettered")
	}
	if times > 1 && times-1 > excused {
		// A crash excuses one more time than it did harm: what was handled before
		// it.
		r.find(Duplicated, s, "it was handled "+strconv.Itoa(times)+" times, and no crash excuses that")
	}
	if times > 0 && s.letters > 0 && excused == 0 {
		r.find(Duplicated, s, "it was handled, and became a dead letter as well")
	}
}

// judgeOrder judges the records of one key, which are in the order of the log.
func (r *Report) judgeOrder(stories []*story, crashes map[int]time.Time) {
	for i, s := range stories[1:] {
		before := stories[i]
		// Kafka promises order within a partition alone.
		if len(s.attempts) == 0 || len(before.attempts) == 0 || s.partition != before.partition {
			continue
		}
		begun, end := s.attempts[0].begun, before.finished()
		switch {
		case begun.Before(before.attempts[0].begun):
			r.find(OutOfOrder, s, "it was handled before the event ahead of it", before)
		case end.IsZero():
			// Lost or stuck, and reported so.
		case begun.Before(end) && !overlapped(before, begun, crashes):
			r.find(OutOfOrder, s, "it was handled while the event ahead of it was not done with", before)
		}
	}
}

// overlapped reports whether a crash lets an event begin before the one ahead of it
// has ended: that one had come to its end before, and is repeated later.
func overlapped(before *story, begun time.Time, crashes map[int]time.Time) bool {
	for _, a := range before.attempts {
		if _, dead := crashes[a.member]; dead && (a.err == nil || before.letters > 0) && !a.ended.IsZero() && !a.ended.After(begun) {
			return true
		}
	}
	return false
}

// judgeEffects judges what the events of one key brought about.
func (r *Report) judgeEffects(key int, stories []*story, effects []int) {
	seen := make(map[int]int)
	last := -1
	for _, n := range effects {
		seen[n]++
		// Only the first effect of an event is judged: later ones are duplicates
		// already.
		if seen[n] == 1 && n < last {
			r.Findings = append(r.Findings, Finding{Kind: OutOfOrder, Key: key, N: n, Why: "it took effect after a later event of its key", stories: stories})
		}
		last = max(last, n)
	}
	judged := make(map[int]bool)
	for _, s := range stories {
		if judged[s.n] {
			continue // a copy
		}
		judged[s.n] = true
		times, _ := s.handled(r.history.crashes)
		var copies []*story
		for _, other := range stories {
			if other != s && other.n == s.n {
				copies = append(copies, other)
			}
		}
		switch {
		case seen[s.n] > 1:
			r.find(Duplicated, s, "it took effect "+strconv.Itoa(seen[s.n])+" times: the handler is to notice what it has done already, by the event's id", copies...)
		case seen[s.n] == 0 && times > 0:
			r.find(Lost, s, "it was handled and took no effect")
		}
	}
}
