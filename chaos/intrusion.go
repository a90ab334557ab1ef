package main

import (
	"fmt"
	"time"
)

// mostMemory bounds the resident memory of a member in a scenario with an intruder, in
// megabytes. Without one it takes about 40.
const mostMemory = 120

// hostileRecords lets another client write records that our publishers never write, in the
// keys of the load, while members join and leave.
func hostileRecords() scenario {
	return scenario{
		name:  "hostile records",
		about: "another client writes malformed, undecodable, oversized and unknown records in the keys of good events, while members join and leave",
		quick: true,
		clean: true,
		load:  load{Events: 60_000, Intruded: 25},
		plan: func(p *plan) {
			for at := 3 * time.Second; at < sized(p.quick, 10*time.Second, 28*time.Second); at += p.between(2*time.Second, 4*time.Second) {
				p.add(at, toggle, p.IntN(6), 0)
			}
		},
		stall: func([]action) time.Duration { return 5 * time.Second },
		judge: unharmed,
	}
}

// unharmed returns which kinds of an intruder's records did not have their expected outcome
// or were never written, and whether a process took too much memory.
func unharmed(t *stage, e *evidence) []string {
	wrong := astray(e)
	kinds := intrusions()
	met := make([]bool, len(kinds))
	for _, i := range e.intruders {
		met[i.kind] = true
	}
	for i, ok := range met {
		if !ok {
			wrong = append(wrong, fmt.Sprintf("no record of the kind %q was written", kinds[i].name))
		}
	}
	most := t.rss()
	t.say("%d hostile records of %d kinds; the largest process had %.0f MB", len(e.intruders), len(kinds), most)
	if most > mostMemory {
		wrong = append(wrong, fmt.Sprintf("a process took %.0f MB, more than %d", most, mostMemory))
	}
	return wrong
}

// astray returns a sentence for each kind with a record that has more or fewer dead letters
// than it must have.
func astray(e *evidence) (wrong []string) {
	bad := make(map[int]int)
	// The number must be exact: a skipped record must leave no dead letter, and a bad one
	// exactly one, even though members join and leave.
	for at, i := range e.intruders {
		if e.dead[at] != int(i.fate) {
			bad[i.kind]++
		}
	}
	for i, kind := range intrusions() {
		if n := bad[i]; n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d records of the kind %q have more or fewer dead letters than they must", n, kind.name))
		}
	}
	return wrong
}
