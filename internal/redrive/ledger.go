package redrive

import "maps"

// ledger holds the decisions about the letters of one partition. In the zero ledger all
// letters are open.
type ledger struct {
	// base is the offset of the first letter that is open or in quarantine: all before it
	// are decided.
	base int64
	// replayed and skipped count all such letters since the topic was created.
	replayed, skipped int64

	// pages have the states of the letters from base on, by page number. A page without
	// decisions is absent. Two bits a letter cost the same however scattered the decisions
	// are.
	pages map[int64]*page
	// marked counts the letters from base on that are not Open; quarantined counts those of
	// them that are Quarantined.
	marked, quarantined int64
	// changed are the pages that differ from what is stored, including removed ones. moved is
	// set if anything else differs.
	changed map[int64]bool
	moved   bool
}

// pageLetters is the number of letters on a page. A transaction rewrites the page of each
// letter that it decides about.
const pageLetters = 1024

// page has the states of pageLetters letters, four in a byte.
type page [pageLetters / 4]byte

// state returns the state of the letter at index i of the page.
func (p *page) state(i int64) State { return State(p[i/4] >> (i % 4 * 2) & 3) }

// set changes the state of the letter at index i of the page.
func (p *page) set(i int64, s State) {
	shift := i % 4 * 2
	p[i/4] = p[i/4]&^(3<<shift) | byte(s)<<shift
}

// State returns the decision about a letter. For a letter before base it returns Decided:
// whether it was replayed or skipped is not kept.
func (l *ledger) State(offset int64) State {
	if offset < l.base {
		return Decided
	}
	if p := l.pages[offset/pageLetters]; p != nil {
		return p.state(offset % pageLetters)
	}
	return Open
}

// Mark records a decision about a letter. It has no effect on letters before base, which are
// decided for good.
func (l *ledger) Mark(offset int64, s State) {
	was := l.State(offset)
	if offset < l.base || was == s {
		return
	}
	switch s {
	case Replayed:
		l.replayed++
	case Skipped:
		l.skipped++
	}
	l.moved = true
	l.put(offset, was, s)
	l.advance()
}

// put changes the state of a letter that is not before base.
func (l *ledger) put(offset int64, was, s State) {
	n := offset / pageLetters
	p := l.pages[n]
	if p == nil {
		p = new(page)
		if l.pages == nil {
			l.pages = make(map[int64]*page)
		}
		l.pages[n] = p
	}
	p.set(offset%pageLetters, s)
	l.count(was, -1)
	l.count(s, 1)
	l.change(n)
}

// count adds to the number of letters from base on that are in a state. It ignores Open,
// since the number of open letters depends on the end of the log.
func (l *ledger) count(s State, by int64) {
	if s != Open {
		l.marked += by
	}
	if s == Quarantined {
		l.quarantined += by
	}
}

// change records that a page must be stored again, or removed if it is absent.
func (l *ledger) change(n int64) {
	if l.changed == nil {
		l.changed = make(map[int64]bool)
	}
	l.changed[n] = true
}

// advance moves base past decided letters.
func (l *ledger) advance() {
	for l.State(l.base).done() {
		l.step()
	}
}

// step moves base past one letter, and drops its page with the page's last letter.
func (l *ledger) step() {
	l.count(l.State(l.base), -1)
	l.base++
	l.moved = true
	if l.base%pageLetters == 0 {
		l.drop(l.base/pageLetters - 1)
	}
}

// drop removes a page that lies entirely before base.
func (l *ledger) drop(n int64) {
	if l.pages[n] != nil {
		delete(l.pages, n)
		l.change(n)
	}
}

// Pass moves base past the letters before first, which retention or a purge removed from the
// log.
func (l *ledger) Pass(first int64) {
	if first <= l.base {
		return
	}
	// Whole pages are passed at once, since a log may begin at any offset.
	for n := range maps.Clone(l.pages) {
		if (n+1)*pageLetters > first {
			continue
		}
		for i := max(l.base, n*pageLetters); i < (n+1)*pageLetters; i++ {
			l.count(l.State(i), -1)
		}
		l.drop(n)
	}
	// The remaining letters are on one page.
	l.base = max(l.base, first/pageLetters*pageLetters)
	l.moved = true
	for l.base < first {
		l.step()
	}
	l.advance()
}

// Count returns how many letters before end are in a state. For Replayed and Skipped it
// counts all since the topic was created.
func (l *ledger) Count(s State, end int64) int64 {
	switch s {
	case Replayed:
		return l.replayed
	case Skipped:
		return l.skipped
	case Quarantined:
		return l.quarantined
	}
	return max(end-l.base-l.marked, 0)
}

// newLedger returns a ledger from stored values. It ignores the part of pages before base.
func newLedger(base, replayed, skipped int64, pages map[int64]*page) *ledger {
	l := &ledger{base: base, replayed: replayed, skipped: skipped, pages: make(map[int64]*page, len(pages))}
	for n, p := range pages {
		if n < base/pageLetters {
			l.change(n) // a process ended before removing it
			continue
		}
		own := *p
		l.pages[n] = &own
		for i := max(base, n*pageLetters); i < (n+1)*pageLetters; i++ {
			l.count(l.State(i), 1)
		}
	}
	return l
}
