package main

import (
	"fmt"
	"slices"
	"time"
)

// evidence is what a scenario left behind.
type evidence struct {
	log     [][]logged    // by partition and offset, as another client reads it
	dead    map[place]int // how often each record was dead-lettered
	entries []entry       // of the ledger
	// heals are the ends of the faults, in the host's nanoseconds.
	heals []int64
	// ends are when owners were killed or frozen, by incarnation.
	ends map[uint16]int64
	// exempt are keys that are meant to stand still or to fail.
	exempt func(key uint32) bool
	// rereads says that a member may know of no more than watermarks.
	rereads bool
}

// finding is what the evidence shows.
type finding struct {
	published, acked, handled int
	unknown, refused          int // outcomes of publishing
	silent                    int // published, and no outcome told
	denied                    int // in the log, and said not to be written
	lost                      int // acknowledged, and neither handled nor dead-lettered, or not in the log
	duplicates                int // handled again, or copies
	copies                    int // in the log once more
	disorder                  int // key order broken, in the log or in handling
	dead                      int
	overlaps                  int           // of disorder: an event started before the one before it had ended
	stall                     time.Duration // longest time that a partition with work made no progress
	stalled                   int32         // the partition
	stallEnd                  time.Time
	recovery                  time.Duration // longest time from a fault's end until what was there by then was handled
	p99                       time.Duration // of the age at which healthy keys' events were handled
	eldest                    time.Duration // the most time from a handling to the kill that made it repeat
	unexplained               int           // duplicates whose first handler was not killed
	uncovered                 int           // started again after a commit that covers it was acknowledged
	wrong                     []string      // the first few of what is wrong, for people
}

// most is how much of what is wrong is told.
const most = 12

func (f *finding) complain(format string, args ...any) {
	if len(f.wrong) < most {
		f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
	}
}

// judge finds what was lost, repeated, out of order, and for how long things stood.
func judge(e *evidence) *finding {
	f := &finding{}
	states := make([][]state, len(e.log))
	places := make(map[logged][]place)
	for p := range e.log {
		states[p] = make([]state, len(e.log[p]))
		for o, r := range e.log[p] {
			places[r] = append(places[r], place{int32(p), int64(o)}) //nolint:gosec // a partition's number
		}
	}
	f.publishing(e, places, states)
	f.logOrder(e.log)
	f.handling(e, states)
	f.outcomes(e, states)
	f.progress(e, states)
	return f
}

// state is what became of one record.
type state struct {
	offered int64 // when Publish was called for it
	started int64 // first
	ended   int64 // first handled
	owner   uint16
	handled int
}

// publishing holds the outcomes that publishers were told against the log.
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
				f.complain("lost: key %d #%d was acknowledged at %d@%d and is not there", r.key, r.seq, p.partition, p.offset)
			}
		case refused:
			f.refused++
			if len(at) > 0 {
				f.denied++
				f.complain("denied: key %d #%d was said not to be written and is at %v", r.key, r.seq, at)
			}
		case unknown:
			f.unknown++
		}
	}
	f.silent = f.published - f.acked - f.refused - f.unknown
	for r, at := range places {
		if len(at) > 1 {
			f.duplicates += len(at) - 1
			f.copies += len(at) - 1
			f.complain("duplicate: key %d #%d is in the log at %v", r.key, r.seq, at)
		}
	}
}

// logOrder looks whether the numbers of each key rise along the log, and whether
// each key is in one partition: there is no order across partitions.
func (f *finding) logOrder(log [][]logged) {
	homes := make(map[uint32]int)
	for p := range log {
		last := make(map[uint32]uint32)
		for o, r := range log[p] {
			if home, ok := homes[r.key]; ok && home != p {
				f.disorder++
				f.complain("order: key %d #%d is at %d@%d, others of the key in partition %d", r.key, r.seq, p, o, home)
			} else {
				homes[r.key] = p
			}
			if before, ok := last[r.key]; ok && r.seq < before {
				f.disorder++
				f.complain("order: key %d #%d at %d@%d follows #%d in the log", r.key, r.seq, p, o, before)
			}
			last[r.key] = r.seq
		}
	}
}

// handling goes through the starts and ends in the order of the ledger. A key's
// next event may start for the first time only when the one before has come to
// its end, wherever that ran.
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
	passed := make(map[lane]int)
	commits := make([]coverage, len(states))
	for i := range e.entries {
		line := &e.entries[i]
		if line.deed < started || line.deed == sampled {
			continue
		}
		if line.deed >= committed && int(line.partition) < len(states) {
			commits[line.partition].take(line)
			continue
		}
		if int(line.partition) >= len(states) || line.offset >= int64(len(states[line.partition])) ||
			e.log[line.partition][line.offset] != (logged{line.key, line.seq}) {
			f.lost++
			f.complain("lost: key %d #%d was handled at %d@%d, where the log has something else", line.key, line.seq, line.partition, line.offset)
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
			for n < len(of) && of[n] < line.offset {
				before := &states[line.partition][of[n]]
				if before.ended == 0 && e.dead[place{line.partition, of[n]}] == 0 {
					f.disorder++
					if before.started != 0 {
						f.overlaps++
					}
					f.complain("order: key %d started at %d@%d (incarnation %d) before its event at %d had ended (started: %t, incarnation %d)",
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
			end, cut := e.ends[s.owner]
			// One that was frozen may finish late what another did meanwhile.
			if _, thawed := e.ends[line.owner]; !cut && thawed {
				continue
			}
			if !cut {
				f.unexplained++
				f.complain("duplicate: key %d at %d@%d handled by incarnation %d and again by %d, %s later, and nobody was killed",
					line.key, line.partition, line.offset, s.owner, line.owner, time.Duration(line.at-s.ended).Round(time.Millisecond))
				continue
			}
			f.eldest = max(f.eldest, time.Duration(end-s.ended))
		}
	}
}

// startedAgain looks at a start that is not the first: none may be of what a
// commit that was acknowledged covers. Who was frozen may know nothing of it yet.
func (f *finding) startedAgain(e *evidence, line *entry, c *coverage) {
	if end, cut := e.ends[line.owner]; cut && line.at > end {
		return
	}
	if c.covers(line.offset) && !e.rereads {
		f.uncovered++
		f.complain("commit: %d@%d was started again by incarnation %d after an acknowledged commit that covers it (watermark %d)",
			line.partition, line.offset, line.owner, c.watermark)
	}
}

// outcomes counts how records ended, and those that did not.
func (f *finding) outcomes(e *evidence, states [][]state) {
	for p := range states {
		for o := range states[p] {
			s := &states[p][o]
			dead := e.dead[place{int32(p), int64(o)}] //nolint:gosec // a partition's number
			f.dead += min(dead, 1)
			switch {
			case s.handled > 0:
				f.handled++
				if dead > 0 {
					f.complain("handled and dead-lettered: %d@%d", p, o)
					f.duplicates++
				}
			case dead == 0:
				f.lost++
				r := e.log[p][o]
				f.complain("lost: key %d #%d at %d@%d (started: %t, incarnation %d)", r.key, r.seq, p, o, s.started != 0, s.owner)
			}
		}
	}
}
