package main

import (
	"fmt"
	"slices"
	"time"
)

// evidence is what a scenario left behind.
type evidence struct {
	// log has the records of each partition by offset, as another client reads
	// them.
	log [][]logged
	// dead counts the dead letters of each record.
	dead map[place]int
	// entries are the ledger's, in the order in which they were written.
	entries []entry
	// heals are when faults ended, in nanoseconds of the host's clock.
	heals []int64
	// ends is when owners were killed or frozen, by incarnation.
	ends map[uint16]int64
	// exempt, if not nil, reports whether a key is meant to stand still or to
	// fail.
	exempt func(key uint32) bool
	// rereads reports whether a member may know only watermarks.
	rereads bool
	// intruders are the records that an intruder wrote.
	intruders map[place]intruder
}

// finding is what the evidence shows: numbers of events, and times.
// Its zero value is that of a scenario in which nothing was published.
type finding struct {
	published, acked, handled int
	unknown, refused          int
	// silent counts events that were published without any outcome.
	silent int
	// denied counts records in the log whose publisher was told that they are
	// not.
	denied int
	// lost counts acknowledged events that are not in the log, or are neither
	// handled nor dead-lettered.
	lost int
	// duplicates counts events that were handled again, and copies.
	duplicates int
	// copies counts events that are in the log more than once.
	copies int
	// disorder counts violations of the order of a key, in the log and in
	// handling.
	disorder int
	dead     int
	// overlaps counts those violations in which an event was started before the
	// one before it had ended.
	overlaps int
	// stall is the longest time that a partition with work made no progress:
	// partition stalled, until stallEnd.
	stall    time.Duration
	stalled  int32
	stallEnd time.Time
	// recovery is the longest time from the end of a fault until everything
	// published by then was handled.
	recovery time.Duration
	// p99 is the 99th percentile of the age at which events of healthy keys
	// were handled.
	p99 time.Duration
	// eldest is the longest time from the handling of an event to the kill that
	// made it repeat.
	eldest time.Duration
	// unexplained counts duplicates whose first owner was not killed.
	unexplained int
	// uncovered counts events that were started again after a commit that
	// covers them was acknowledged.
	uncovered int
	// wrong describes the first few violations, for people.
	wrong []string
}

// most bounds how many violations are described.
const most = 12

// note describes a violation, unless there are enough.
func (f *finding) note(format string, args ...any) {
	if len(f.wrong) < most {
		f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
	}
}

// judge compares the ledger with the log.
func judge(e *evidence) *finding {
	f := &finding{}
	states := make([][]state, len(e.log))
	places := make(map[logged][]place)
	for p := range e.log {
		states[p] = make([]state, len(e.log[p]))
		for o, r := range e.log[p] {
			if _, ok := e.intruders[place{int32(p), int64(o)}]; ok { //nolint:gosec // a partition's number
				continue
			}
			places[r] = append(places[r], place{int32(p), int64(o)}) //nolint:gosec // a partition's number
		}
	}
	// Each step adds to the finding; the later ones use the states that the first
	// ones set.
	f.publishing(e, places, states)
	f.logOrder(e.log)
	f.handling(e, states)
	f.outcomes(e, states)
	f.progress(e, states)
	return f
}

// state is what happened to one record. Times are nanoseconds of the host's
// clock, 0 if it did not happen.
type state struct {
	// offered is when Publish was called, started and ended when a handler
	// first began, and first succeeded.
	offered int64
	started int64
	ended   int64
	owner   uint16
	handled int
}

// publishing compares the outcomes that publishers were told with the log.
func (f *finding) publishing(e *evidence, places map[logged][]place, states [][]state) {
	f.published = 0
	for i := range e.entries {
		line := &e.entries[i]
		r := logged{line.key, line.seq}
		at := places[r]
		switch line.deed {
		case offered:
			f.published++
			for _, p := range at {
				states[p.partition][p.offset].offered = line.at
			}
		case acked:
			f.acked++
			p := place{line.partition, line.offset}
			if !slices.Contains(at, p) {
				f.lost++
				f.note("lost: key %d #%d was acknowledged at %d@%d and is not there", r.key, r.seq, p.partition, p.offset)
			}
		// A record that was acknowledged must be in the log.
		case refused:
			f.refused++
			if len(at) > 0 {
				f.denied++
				f.note("denied: key %d #%d was said not to be written and is at %v", r.key, r.seq, at)
			}
		case unknown:
			f.unknown++
		}
	}
	// Each event has one outcome at most: Publish is not repeated by the publishers.
	f.silent = f.published - f.acked - f.refused - f.unknown
	for r, at := range places {
		// The idempotent producer writes a record once, over all its retries.
		if len(at) > 1 {
			f.duplicates += len(at) - 1
			f.copies += len(at) - 1
			f.note("duplicate: key %d #%d is in the log at %v", r.key, r.seq, at)
		}
	}
}

// logOrder checks that the numbers of each key rise along the log, and that
// each key is in one partition, since there is no order across partitions.
func (f *finding) logOrder(log [][]logged) {
	// homes has the partition in which each key was first seen.
	homes := make(map[uint32]int)
	for p := range log {
		// last has the number of each key's last record.
		last := make(map[uint32]uint32)
		for o, r := range log[p] {
			if home, ok := homes[r.key]; ok && home != p {
				f.disorder++
				f.note("order: key %d #%d is at %d@%d, others of the key in partition %d", r.key, r.seq, p, o, home)
			} else {
				homes[r.key] = p
			}
			// Gaps are not disorder: events may have been refused.
			if before, ok := last[r.key]; ok && r.seq < before {
				f.disorder++
				f.note("order: key %d #%d at %d@%d follows #%d in the log", r.key, r.seq, p, o, before)
			}
			last[r.key] = r.seq
		}
	}
}

// handling goes through the starts and ends in the order of the ledger. The
// next event of a key may start for the first time only when the one before has
// ended, whichever process handled it.
func (f *finding) handling(e *evidence, states [][]state) {
	type lane struct {
		partition int32
		key       uint32
	}
	// The offsets of each key in log order, and how many of them have ended.
	offsets := make(map[lane][]int64)
	for p := range e.log {
		for o, r := range e.log[p] {
			l := lane{int32(p), r.key} //nolint:gosec // a partition's number
			offsets[l] = append(offsets[l], int64(o))
		}
	}
	// passed counts the offsets of each key that were checked; each is visited once.
	passed := make(map[lane]int)
	commits := make([]coverage, len(states))
	for i := range e.entries {
		line := &e.entries[i]
		// Other entries are not handling.
		if line.deed < started || line.deed >= sampled {
			continue
		}
		// Commits are in the ledger between the starts, so a start is judged by the commits
		// acknowledged before it.
		if line.deed >= committed && int(line.partition) < len(states) {
			commits[line.partition].take(line)
			continue
		}
		// A handled record that is not in the log was lost by the cluster, or never written.
		if int(line.partition) >= len(states) || line.offset >= int64(len(states[line.partition])) ||
			e.log[line.partition][line.offset] != (logged{line.key, line.seq}) {
			f.lost++
			f.note("lost: key %d #%d was handled at %d@%d, where the log has something else", line.key, line.seq, line.partition, line.offset)
			continue
		}
		s := &states[line.partition][line.offset]
		switch line.deed {
		case started:
			if s.started != 0 {
				f.startedAgain(e, line, &commits[line.partition])
				continue
			}
			s.started = line.at
			l := lane{line.partition, line.key}
			of, n := offsets[l], passed[l]
			// All events of the key before this one have to have ended, in
			// whichever process.
			for n < len(of) && of[n] < line.offset {
				before := &states[line.partition][of[n]]
				if before.ended == 0 && e.dead[place{line.partition, of[n]}] == 0 {
					f.disorder++
					if before.started != 0 {
						f.overlaps++
					}
					f.note("order: key %d started at %d@%d (incarnation %d) before its event at %d had ended (started: %t, incarnation %d)",
						line.key, line.partition, line.offset, line.owner, of[n], before.started != 0, before.owner)
				}
				n++
			}
			passed[l] = max(n, passed[l])
			s.owner = line.owner
		case handled:
			s.handled++
			if s.handled == 1 {
				s.ended, s.owner = line.at, line.owner
				continue
			}
			f.duplicates++
			// The owner's end explains a repetition: a kill cuts off its commits.
			end, cut := e.ends[s.owner]
			// An owner that was frozen may finish late what another did meanwhile.
			if _, thawed := e.ends[line.owner]; !cut && thawed {
				continue
			}
			if !cut {
				f.unexplained++
				f.note("duplicate: key %d at %d@%d handled by incarnation %d and again by %d, %s later, and nobody was killed",
					line.key, line.partition, line.offset, s.owner, line.owner, time.Duration(line.at-s.ended).Round(time.Millisecond))
				continue
			}
			f.eldest = max(f.eldest, time.Duration(end-s.ended))
		}
	}
}

// startedAgain judges a start that is not the first. An event that an acknowledged commit
// covers must not start again. An owner that was frozen may not know of the commit yet.
// Starting again is not a fault by itself: after a kill, uncommitted events are repeated.
func (f *finding) startedAgain(e *evidence, line *entry, c *coverage) {
	if end, cut := e.ends[line.owner]; cut && line.at > end {
		return
	}
	if c.covers(line.offset) && !e.rereads {
		f.uncovered++
		f.note("commit: %d@%d was started again by incarnation %d after an acknowledged commit that covers it (watermark %d)",
			line.partition, line.offset, line.owner, c.watermark)
	}
}

// outcomes counts how records ended, and those that did not. A record that was both handled
// and dead-lettered counts as a duplicate.
func (f *finding) outcomes(e *evidence, states [][]state) {
	for p := range states {
		for o := range states[p] {
			if _, ok := e.intruders[place{int32(p), int64(o)}]; ok { //nolint:gosec // a partition's number
				continue // judged by the scenario
			}
			s := &states[p][o]
			dead := e.dead[place{int32(p), int64(o)}] //nolint:gosec // a partition's number
			// An event may have several dead letters, since the last actions before a kill
			// may be repeated.
			f.dead += min(dead, 1)
			switch {
			case s.handled > 0:
				f.handled++
				if dead > 0 {
					f.note("handled and dead-lettered: %d@%d", p, o)
					f.duplicates++
				}
			case dead == 0:
				f.lost++
				r := e.log[p][o]
				f.note("lost: key %d #%d at %d@%d (started: %t, incarnation %d)", r.key, r.seq, p, o, s.started != 0, s.owner)
			}
		}
	}
}
