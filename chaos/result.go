package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// result is one line of the result file. Times are in seconds, memory is in megabytes.
type result struct {
	// Scenario and Seed identify the segment.
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed"`
	// These are numbers of events.
	Published    int `json:"published"`
	Acked        int `json:"acked"`
	Handled      int `json:"handled"`
	Lost         int `json:"lost"`
	Duplicates   int `json:"duplicates"`
	Disorder     int `json:"order_violations"`
	DeadLettered int `json:"dead_lettered"`
	// MaxStall is the longest standstill of a partition with work, Recovery the
	// longest time from the end of a fault until what had been published was
	// handled.
	MaxStall float64 `json:"max_stall_s"`
	Recovery float64 `json:"recovery_s"`
	PeakRSS  float64 `json:"rss_peak_mb"`
	// Silent and Denied are counts that are zero in a scenario that passes.
	Silent int `json:"no_outcome,omitempty"`
	Denied int `json:"written_though_denied,omitempty"`
	// Processes says, after a soak, how large each kind of process was at the
	// beginning and at the end.
	Processes map[string]change `json:"processes,omitempty"`
}

// results is the result file that a campaign appends to, and continues from.
// It belongs to the one goroutine that runs segments.
type results struct {
	// path is the file, which each result opens.
	path string
	// done has the segments that need not run again.
	done map[segment]bool
}

// segment identifies what a campaign does in one go.
type segment struct {
	scenario string
	seed     uint64
}

// openResults opens the file at path. With resume the segments in it count as done;
// otherwise it is replaced.
func openResults(path string, resume bool) (*results, error) {
	r := &results{path: path, done: make(map[segment]bool)}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	if !resume {
		return r, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var one result
		// Ignore a line that was cut short by a crash.
		if json.Unmarshal(lines.Bytes(), &one) == nil {
			r.done[segment{one.Scenario, one.Seed}] = true
		}
	}
	return r, nil
}

// append appends a line.
func (r *results) append(one *result) error {
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	// Open the file for each line, so that it has all results so far if the campaign is
	// killed.
	file, err := os.OpenFile(r.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(append(line, '\n'))
	return err
}

// seconds returns a duration in seconds, to the hundredth.
func seconds(d time.Duration) float64 { return float64(d.Round(10*time.Millisecond)) / 1e9 }
