package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

const (
	// defaultMost is how many events a replay may handle unless the order says otherwise.
	defaultMost = 10_000
	// answerTime bounds writing the answer.
	answerTime = 30 * time.Second
)

// again is the body of POST /groups/{group}/replay. Offsets are by partition number;
// ToOffsets are exclusive.
type again struct {
	said
	Topic       string          `json:"topic"`
	From        time.Time       `json:"from"`
	To          time.Time       `json:"to"`
	FromOffsets map[int32]int64 `json:"fromOffsets"`
	ToOffsets   map[int32]int64 `json:"toOffsets"`
	Keys        []string        `json:"keys"`
	Types       []string        `json:"types"`
	// Most is how many events may be handled. A window with more is refused.
	Most int64 `json:"most"`
	// Apply handles the events. Without it they are only counted.
	Apply bool `json:"apply"`
}

// config returns the configuration of the replay that is asked for.
func (a *again) config() eventbus.ReplayConfig {
	at := func(offsets map[int32]int64) map[transport.Partition]int64 {
		all := make(map[transport.Partition]int64, len(offsets))
		for p, offset := range offsets {
			all[transport.Partition{Topic: a.Topic, Partition: p}] = offset
		}
		return all
	}
	return eventbus.ReplayConfig{
		From: a.From, To: a.To, FromOffsets: at(a.FromOffsets), ToOffsets: at(a.ToOffsets), Keys: a.Keys, Types: a.Types,
		DryRun: !a.Apply, MaxEvents: cmp.Or(a.Most, defaultMost),
	}
}

func (a *again) check() error {
	switch {
	case a.Topic == "":
		return fmt.Errorf("%w: topic is needed", errBody)
	// A whole topic is seldom what is meant, so it must not be the default.
	case a.From.IsZero() && len(a.FromOffsets) == 0:
		return fmt.Errorf("%w: from or fromOffsets is needed", errBody)
	case a.Most < 0:
		return fmt.Errorf("%w: most is below 0", errBody)
	case a.Apply && strings.TrimSpace(a.Why) == "":
		return fmt.Errorf("%w: why is needed, since handlers run again for events that were handled", errBody)
	}
	return a.said.check()
}

// Replayed is the answer to POST /groups/{group}/replay: the events that handlers were
// run for or, unless Applied is set, would be. It does not contain their data.
type Replayed struct {
	Applied    bool                `json:"applied"`
	Partitions []ReplayedPartition `json:"partitions"`
	// Failures are the first events that exhausted their attempts.
	Failures []string `json:"failures,omitempty"`
	// Error says why a replay ended before the end of its window.
	Error string `json:"stopped,omitempty"`
}

// ReplayedPartition is one partition of a replay, the offsets [From, To). Events counts
// the events for the handlers by type. Next is where another replay would continue.
type ReplayedPartition struct {
	Partition int32            `json:"partition"`
	From      int64            `json:"from"`
	To        int64            `json:"to"`
	Next      int64            `json:"next"`
	Events    map[string]int64 `json:"events"`
	Handled   int64            `json:"handled"`
	Failed    int64            `json:"failed"`
}

// replay answers POST /groups/{group}/replay. ReplayGroup always counts the window first,
// and handles what it has counted.
func (h *handler) replay(w http.ResponseWriter, r *http.Request) {
	var of again
	err := read(r.Body, &of)
	if err == nil {
		err = of.check()
	}
	if err != nil {
		refuseOrder(w, err)
		return
	}
	// A server's own deadline is meant for immediate answers: after a long replay it would cut
	// off the answer, and nobody would know what was handled.
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{})
	// The context ends with the connection: a caller that gives up ends the replay.
	report, err := h.operator(of.said).ReplayGroup(r.Context(), r.PathValue("group"), of.Topic, of.config())
	_ = control.SetWriteDeadline(time.Now().Add(answerTime))
	if err != nil && report.Handled()+report.Failed() == 0 {
		refuseOrder(w, err)
		return
	}
	answer(w, http.StatusOK, replayed(&report, of.Apply, err))
}

// replayed returns the answer for a report.
func replayed(report *eventbus.ReplayReport, applied bool, err error) *Replayed {
	all := &Replayed{Applied: applied, Partitions: []ReplayedPartition{}}
	for i := range report.Partitions {
		p := &report.Partitions[i]
		all.Partitions = append(all.Partitions, ReplayedPartition{p.Partition.Partition, p.From, p.To, p.Next, p.Events, p.Handled, p.Failed})
	}
	for _, f := range report.Failures {
		all.Failures = append(all.Failures, f.String())
	}
	if err != nil {
		all.Error = err.Error()
	}
	return all
}

// refuseOrder answers with the status for an error.
func refuseOrder(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", large.Limit))
	case errors.Is(err, errBody):
		refuse(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, eventbus.ErrNotFound):
		refuse(w, http.StatusNotFound, err.Error())
	default:
		refuse(w, http.StatusConflict, err.Error())
	}
}
