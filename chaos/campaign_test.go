package main

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestSchedule: a seed determines the schedule, and other seeds give others.
func TestSchedule(t *testing.T) {
	names := make(map[string]bool)
	for _, s := range scenarios() {
		if names[s.name] {
			t.Errorf("two scenarios are called %q", s.name)
		}
		names[s.name] = true
		if s.run == nil && (s.plan == nil || s.stall == nil || s.load.Events == 0) {
			t.Errorf("%s lacks a plan, a bound or a load", s.name)
		}
		a, b := s.schedule(7, false), s.schedule(7, false)
		if !slices.Equal(a, b) {
			t.Errorf("%s: one seed, two schedules", s.name)
		}
		if s.name == "clean storm" && slices.Equal(a, s.schedule(8, false)) {
			t.Errorf("%s: two seeds, one schedule", s.name)
		}
	}
}

// TestResume: a long campaign does not repeat segments that its file has.
func TestResume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results", "long.jsonl")
	r, err := openResults(path, true)
	if err != nil {
		t.Fatal(err)
	}
	one := &result{Scenario: "clean storm", Seed: 3, Published: 5}
	if err := r.append(one); err != nil {
		t.Fatal(err)
	}
	again, err := openResults(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[segment]bool{{"clean storm", 3}: true}; !reflect.DeepEqual(again.done, want) {
		t.Errorf("done is %v, want %v", again.done, want)
	}
	if fresh, err := openResults(path, false); err != nil || len(fresh.done) > 0 {
		t.Errorf("without resuming: %v, %v", fresh.done, err)
	}
}

// TestLedger: entries are read back as they were written.
func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	want := entry{deed: handled, attempt: 2, owner: 3, partition: 4, key: 5, seq: 6, offset: 7, epoch: 8}
	l.add(want)
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	got, err := readLedger(path)
	if err != nil || len(got) != 1 || got[0].at == 0 {
		t.Fatalf("read %v, %v", got, err)
	}
	got[0].at = 0
	if got[0] != want {
		t.Errorf("read %+v, want %+v", got[0], want)
	}
}

// TestBusyHost: timers of an idle host are late by milliseconds.
func TestBusyHost(t *testing.T) {
	for _, host := range []struct {
		p99, most time.Duration
		busy      bool
	}{
		{0, 0, false}, {11 * time.Millisecond, 28 * time.Millisecond, false},
		{41 * time.Millisecond, 60 * time.Millisecond, true}, {9 * time.Millisecond, 735 * time.Millisecond, true},
	} {
		if got := busy(host.p99, host.most); got != host.busy {
			t.Errorf("timers late by %s and %s: busy %t", host.p99, host.most, got)
		}
	}
}
