package console

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

// replayOrder asks a member to run a group's handlers again over a window of a topic. Without
// Apply the events are only counted.
type replayOrder struct {
	Member string `json:"-"`
	Group  string `json:"-"`

	Topic       string          `json:"topic"`
	From        time.Time       `json:"from,omitzero"`
	To          time.Time       `json:"to,omitzero"`
	FromOffsets map[int32]int64 `json:"fromOffsets,omitempty"`
	ToOffsets   map[int32]int64 `json:"toOffsets,omitempty"`
	Keys        []string        `json:"keys,omitempty"`
	Types       []string        `json:"types,omitempty"`
	Most        int64           `json:"most"` // refuse a window with more events
	Apply       bool            `json:"apply"`
	Who         string          `json:"who"`
	Why         string          `json:"why"`
}

// replayReport is a member's answer.
type replayReport struct {
	Partitions []replayedPartition `json:"partitions"`
	Failures   []string            `json:"failures"`
	Error      string              `json:"stopped"` // why it ended before the end of its window
}

// replayedPartition is one partition, the offsets [From, To). Events counts by type.
type replayedPartition struct {
	Partition int32            `json:"partition"`
	From      int64            `json:"from"`
	To        int64            `json:"to"`
	Events    map[string]int64 `json:"events"`
	Handled   int64            `json:"handled"`
	Failed    int64            `json:"failed"`
}

// Sum returns how many events match.
func (r *replayReport) Sum() (n int64) {
	for i := range r.Partitions {
		for _, events := range r.Partitions[i].Events {
			n += events
		}
	}
	return n
}

// Done returns how many events were handled, and how many failed again.
func (r *replayReport) Done() (handled, failed int64) {
	for i := range r.Partitions {
		handled, failed = handled+r.Partitions[i].Handled, failed+r.Partitions[i].Failed
	}
	return handled, failed
}

// replays holds the replays that this console has ordered, the latest first. Each of them
// needs the console for as long as it runs, so no other process knows of it.
type replays struct {
	mu   sync.Mutex
	last int
	all  []*replayRow
}

// maxReplays bounds how many replays are kept.
const maxReplays = 20

// replayRow is a replay. State is running, done, stopped or failed. stop ends it.
type replayRow struct {
	ID             string
	State          string
	Order          replayOrder
	Expected       int64
	Began, Ended   time.Time
	Handled        int64
	Failed         int64
	Failures       []string
	Error          string
	StoppedBy, Why string
	stop           context.CancelFunc
}

// add adds a replay, unless another one over the same handlers is running: two over one
// window would handle the same key twice at once. Then it returns the other one.
func (r *replays) add(row *replayRow) (other *replayRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range r.all {
		if other.State == "running" && other.Order.Group == row.Order.Group && other.Order.Topic == row.Order.Topic {
			return other
		}
	}
	r.last++
	row.ID = strconv.Itoa(r.last)
	r.all = append([]*replayRow{row}, r.all...)
	// A running one is never dropped, since it could not be stopped any more.
	for i := len(r.all) - 1; i >= 0 && len(r.all) > maxReplays; i-- {
		if r.all[i].State != "running" {
			r.all = slices.Delete(r.all, i, i+1)
		}
	}
	return nil
}

// list returns copies, which pages may show while the replays run.
func (r *replays) list() []replayRow {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]replayRow, len(r.all))
	for i, row := range r.all {
		all[i] = *row
	}
	return all
}

// end records the result of a replay.
func (r *replays) end(row *replayRow, report *replayReport, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row.Ended = time.Now()
	if report != nil {
		row.Handled, row.Failed = report.Done()
		row.Failures = slices.Clone(report.Failures[:min(len(report.Failures), maxFailures)])
		// A member sent the texts, and they are kept for as long as the console runs.
		for i, text := range row.Failures {
			row.Failures[i] = clip(2*maxShown, text)
		}
		row.Error = clip(2*maxShown, report.Error)
	}
	if err != nil {
		row.Error = clip(2*maxShown, err.Error())
	}
	switch {
	case row.StoppedBy != "":
		row.State = "stopped"
	case row.Error != "":
		row.State = "failed"
	default:
		row.State = "done"
	}
}

// maxFailures bounds the failed events that are kept of a replay.
const maxFailures = 20
