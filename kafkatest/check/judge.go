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
func (t *trial) deadLetters() map[place]int {
	letters := make(map[place]int)
	// The engine has written the headers, so they are numbers.
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

// judge compares what happened with the promises. idle says that every record was
// finished.
func (t *trial) judge(occurrences []occurrence, idle bool) *Report {
	h := t.history
	letters := t.deadLetters()
	// The cluster is asked before the history's lock is taken.
	committed := t.cluster.Committed(t.group)
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &Report{Seed: t.seed, history: h}
	for _, d := range occurrences {
		r.Schedule = append(r.Schedule, d.String())
	}
	keys := make(map[int][]*recordHistory)
	for _, record := range t.cluster.Records(t.topic) {
		r.Published++
		at := place{record.Partition, record.Offset}
		// A record that no handler got is judged too: it may be lost.
		s := h.records[at]
		if s == nil {
			key, n, _ := t.number(&record)
			s = &recordHistory{place: at, key: key, n: n}
			h.records[at] = s
		}
		s.letters = letters[at]
		// A commit names the next offset to handle.
		passed := committed[transport.Partition{Topic: t.topic, Partition: at.partition}].Offset > at.offset
		t.judgeRecord(r, s, passed, idle)
		keys[s.key] = append(keys[s.key], s)
	}
	for key, records := range keys {
		slices.SortFunc(records, func(x, y *recordHistory) int { return cmp.Compare(x.offset, y.offset) })
		r.judgeOrder(records, h.crashes)
		if t.effects != nil {
			r.judgeEffects(key, records, t.effects(key))
		}
	}
	// The report must not show the random order of a map.
	slices.SortStableFunc(r.Findings, func(x, y Finding) int { return cmp.Or(cmp.Compare(x.Key, y.Key), cmp.Compare(x.N, y.N)) })
	return r
}

// judgeRecord judges one record apart from the others of its key. passed says that the
// group has committed past it.
func (t *trial) judgeRecord(r *Report, s *recordHistory, passed, idle bool) {
	times, excused := s.handled(t.history.crashes)
	if slices.ContainsFunc(s.attempts, func(a *attempt) bool { return errors.Is(a.err, errNotJoined) }) {
		r.find(Lost, s, "its handler published an event that was refused, and the middleware around it was told of success: what is committed there is taken as done, and the event is never published")
	}
	switch {
	// Handled at least once. Repetitions are judged below.
	case times > 0:
		r.Handled++
		r.Repeated += times - 1
	case s.letters > 0:
		r.DeadLettered++
		if t.injected(s.key, s.n, 1) != poisoned {
			r.find(DeadLettered, s, "it became a dead letter although a retry would have succeeded")
		}
	case passed:
		r.find(Lost, s, "the group has committed past it, and it was neither handled nor dead-lettered")
	// Not lost yet: the group has not committed past it.
	case !idle:
		r.find(Stuck, s, "it is still waiting, although everything has worked for "+patience.String())
	default:
		r.find(Lost, s, "it was neither handled nor dead-lettered")
	}
	// Each excused time allows one repetition.
	if times > 1 && times-1 > excused {
		r.find(Duplicated, s, "it was handled "+strconv.Itoa(times)+" times, and no crash excuses that")
	}
	if times > 0 && s.letters > 0 && excused == 0 {
		r.find(Duplicated, s, "it was handled, and became a dead letter as well")
	}
}

// judgeOrder judges the records of one key, which are in the order of the log.
func (r *Report) judgeOrder(records []*recordHistory, crashes map[int]time.Time) {
	for i, s := range records[1:] {
		// i counts from the second record, so this is the one before s.
		before := records[i]
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
			r.find(OutOfOrder, s, "it was handled before the event ahead of it was finished", before)
		}
	}
}

// overlapped reports whether a crash explains that an event began before the one ahead
// of it was finished: that one had ended on the crashed member before, and was
// repeated later.
func overlapped(before *recordHistory, begun time.Time, crashes map[int]time.Time) bool {
	for _, a := range before.attempts {
		if _, dead := crashes[a.member]; dead && (a.err == nil || before.letters > 0) && !a.ended.IsZero() && !a.ended.After(begun) {
			return true
		}
	}
	return false
}

// judgeEffects judges the effects of the events of one key.
func (r *Report) judgeEffects(key int, records []*recordHistory, effects []int) {
	seen := make(map[int]int)
	last := -1
	for _, n := range effects {
		seen[n]++
		// Only an event's first effect is judged for order: the later ones are
		// reported as duplicates.
		if seen[n] == 1 && n < last {
			r.Findings = append(r.Findings, Finding{Kind: OutOfOrder, Key: key, N: n, Why: "it took effect after a later event of its key", records: records})
		}
		last = max(last, n)
	}
	judged := make(map[int]bool)
	for _, s := range records {
		if judged[s.n] {
			continue // a copy
		}
		judged[s.n] = true
		times, _ := s.handled(r.history.crashes)
		// An event whose outcome was unknown was published again, with the same number.
		var copies []*recordHistory
		for _, other := range records {
			if other != s && other.n == s.n {
				copies = append(copies, other)
			}
		}
		switch {
		case seen[s.n] > 1:
			r.find(Duplicated, s, "it took effect "+strconv.Itoa(seen[s.n])+" times: the handler must recognize a repeated event by its id", copies...)
		case seen[s.n] == 0 && times > 0:
			r.find(Lost, s, "it was handled and took no effect")
		}
	}
}
