package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/chaos/internal/child"
)

// TestGrown: a process of constant size passes, whatever its warm-up; one that
// grows in any figure is found.
func TestGrown(t *testing.T) {
	steady := sample{goroutines: 100, heap: 20 << 20, rss: 60 << 20}
	for _, c := range []struct {
		name  string
		after func(tenth int) sample
		want  string // part of what is wrong; "": nothing is
	}{
		{"flat", func(int) sample { return steady }, ""},
		{"warm-up", func(i int) sample {
			if i == 0 {
				return sample{goroutines: 3, heap: 1 << 20, rss: 1 << 20}
			}
			return steady
		}, ""},
		{"up and down", func(i int) sample {
			s := steady
			s.goroutines, s.heap, s.rss = s.goroutines+i%2*50, s.heap<<(i%2), s.rss<<(i%2)
			return s
		}, ""},
		{"within the slack", func(i int) sample {
			return sample{goroutines: 100 + 5*i/9, heap: 20<<20 + int64(i)*(4<<20)/9, rss: 60<<20 + int64(i)*(17<<20)/9}
		}, ""},
		{"smaller", func(i int) sample { return sample{goroutines: 100 - i, heap: 20 << 20 >> i, rss: 60 << 20 >> i} }, ""},
		{"more goroutines", func(i int) sample { s := steady; s.goroutines += i; return s }, "has 109 goroutines, and had 101"},
		{"more heap", func(i int) sample { s := steady; s.heap += int64(i) << 20; return s }, "has a live heap of 29.0 MB, and had 21.0"},
		{"more resident", func(i int) sample { s := steady; s.rss += int64(i) * 3 << 20; return s }, "has a resident set of 87.0 MB, and had 63.0"},
		{"silent in the end", func(i int) sample { return sample{goroutines: -1} }, "told too little"},
	} {
		l := lifetime{name: "member-0"}
		for i := range l.parts {
			s := c.after(i)
			if c.name == "up and down" {
				// A single sample is noise.
				l.parts[i] = []sample{steady, s, steady}
			} else if s.goroutines >= 0 || i < tenths-1 {
				l.parts[i] = []sample{s}
			}
		}
		got := strings.Join(l.grown(), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, ";") {
			t.Errorf("%s: %q is wrong, want %q", c.name, got, c.want)
		}
	}
}

// TestGrowth: samples are separated by process and time, and those outside the load
// don't count.
func TestGrowth(t *testing.T) {
	var entries []entry
	add := func(at int64, e entry) { e.at = at; entries = append(entries, e) }
	add(50, sample{goroutines: 1}.entry(0)) // before the load
	for i := range int64(100) {
		add(100+i*10, entry{deed: offered})
		add(101+i*10, sample{goroutines: 10, heap: 5 << 20, rss: 9 << 20}.entry(0))
		add(102+i*10, sample{goroutines: 12, heap: (1 + i) << 20, rss: 7 << 20}.entry(1))
		add(103+i*10, sample{goroutines: 20, heap: 3 << 20, rss: 8 << 20}.entry(2))
	}
	add(5000, sample{goroutines: 1}.entry(0)) // after it
	var out bytes.Buffer
	s := &stage{out: &out, scenario: steadyLoad(10 * time.Minute)}
	for _, name := range []string{"member-0", "member-1", "publisher-2"} {
		s.all = append(s.all, &child.Process{Name: name})
	}
	r := &result{}
	wrong := s.growth(&evidence{entries: entries}, r)
	if len(wrong) != 1 || !strings.HasPrefix(wrong[0], "member-1 has a live heap of") {
		t.Errorf("wrong are %q, want member-1's heap alone", wrong)
	}
	if got, want := r.Processes["publisher"], (change{figures{20, 3, 8}, figures{20, 3, 8}}); got != want {
		t.Errorf("publishers went %+v, want %+v", got, want)
	}
	if got := r.Processes["member"]; got.First.Goroutines != 12 || got.Last.Heap <= got.First.Heap {
		t.Errorf("members went %+v", got)
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 1+tenths || !strings.HasPrefix(strings.TrimSpace(lines[tenths]), "9.0 ") {
		t.Errorf("the table is\n%s", out.String())
	}
}

// TestSampling: a process's samples are in the ledger.
func TestSampling(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	stop := startSampling(&task{Number: 3, Sampling: time.Millisecond}, l)
	var entries []entry
	for len(entries) == 0 && t.Context().Err() == nil {
		if entries, err = readLedger(path); err != nil {
			break
		}
	}
	stop()
	if err := l.close(); err != nil || len(entries) == 0 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	if e := entries[0]; e.deed != sampled || e.owner != 3 || e.sample().goroutines < 2 {
		t.Errorf("told %+v: %+v", e, e.sample())
	}
}

// TestParseSoak: a soak is a campaign of its own.
func TestParseSoak(t *testing.T) {
	for _, args := range []string{"-soak 30s", "-soak -1m", "-soak 5m -quick", "-soak 5m -long", "-soak 5m -only storm"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
	s, err := parse([]string{"-soak", "30m"})
	if err != nil {
		t.Fatal(err)
	}
	scenes, seeds := s.chosen()
	if len(scenes) != 1 || len(seeds) != 1 || scenes[0].load.Events != 3_600_000 || filepath.Base(s.out) != "soak.jsonl" {
		t.Errorf("%d scenarios, %d seeds: %+v, in %s", len(scenes), len(seeds), scenes[0].load, s.out)
	}
}
