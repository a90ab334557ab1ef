package produce

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
)

// sendPatience is how long a worker waits for an answer before it begins to ask the cluster
// whether another broker leads its partitions. A frozen broker accepts requests and stays
// silent, so they would wait until their deadline.
const sendPatience = 2 * time.Second

// leaderWatch watches one worker's waits for a broker, for a connection or for the answer to a
// request. It ends a wait once another broker leads one of the waiting partitions, and reports
// a silent broker to the gate.
type leaderWatch struct {
	sender *sender
	timer  *time.Timer

	mu    sync.Mutex
	begun time.Time           // of the wait
	due   time.Time           // of the next look
	parts func() []*partition // returns the waiting partitions; nil while none waits
	stop  func()              // ends the wait
}

// newLeaderWatch returns the watch of one worker. It is made once per connection and serves one
// wait after another, so that a request does not cost a timer.
func newLeaderWatch(s *sender) *leaderWatch {
	w := &leaderWatch{sender: s}
	w.timer = time.AfterFunc(sendPatience, func() { s.producer.spawn(w.look) })
	w.timer.Stop()
	return w
}

// begin starts a wait, or continues one that began at begun. parts and stop may be called until
// end has returned.
func (w *leaderWatch) begin(begun time.Time, parts func() []*partition, stop func()) {
	w.mu.Lock()
	// A wait that continues after another request was sent keeps its next look. Otherwise a
	// steady flow would postpone it indefinitely.
	if !begun.Equal(w.begun) {
		w.begun, w.due = begun, begun.Add(sendPatience)
	}
	w.parts, w.stop = parts, stop
	w.timer.Reset(time.Until(w.due))
	w.mu.Unlock()
}

// end ends the wait: the worker has what it waited for, or gave up.
func (w *leaderWatch) end() {
	w.mu.Lock()
	w.parts, w.stop = nil, nil
	w.timer.Stop()
	w.mu.Unlock()
}

// look asks the cluster for the leaders. If one wait has ended and another begun
// meanwhile, the answer applies to the new one.
func (w *leaderWatch) look() {
	w.mu.Lock()
	if w.parts == nil {
		w.mu.Unlock()
		return
	}
	begun := w.begun
	var names []string
	for _, p := range w.parts() {
		if !slices.Contains(names, p.topic.name) {
			names = append(names, p.topic.name)
		}
	}
	w.mu.Unlock()
	// First, and without mu: the gate is code of the layers above.
	w.sender.reportSilence(begun)
	if len(names) > 0 {
		// A late answer counts at the next look: the silent broker may be the only one to ask.
		ctx, cancel := context.WithTimeout(w.sender.producer.ctx, cluster.LookAgainAfter)
		_ = w.sender.producer.client.Refresh(ctx, names...)
		cancel()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.parts == nil {
		return
	}
	if slices.ContainsFunc(w.parts(), w.sender.deposed) {
		w.stop()
		return
	}
	w.due = time.Now().Add(cluster.LookAgainAfter)
	w.timer.Reset(cluster.LookAgainAfter)
}

// deposed reports whether another broker is now known to lead the partition.
func (s *sender) deposed(p *partition) bool {
	t := s.producer.client.KnownTopic(p.topic.name)
	if t == nil || int(p.index) >= len(t.Partitions) {
		return false
	}
	leader := t.Partitions[p.index].Leader
	return leader >= 0 && leader != s.broker
}

// waiters returns the partitions that wait for a connection.
func (s *sender) waiters() []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ready)
}

// health records how quickly a sender's broker answers. The sender's mu guards it.
type health struct {
	answered time.Time     // when a request was last answered
	slowest  time.Duration // slowest answer; decays
	reported time.Time     // when silence was last reported
	trip     time.Duration // round trip of a quick answer: falls at once, grows gradually
}

// mostPatience bounds how long a slow broker may be silent before that is reported.
const mostPatience = 10 * time.Second

// noteAnswer records an answer to a request sent at begun. Each later answer forgets an eighth
// of a slow one, so after some twenty answers a recovered broker gets no more than
// sendPatience.
func (s *sender) noteAnswer(begun time.Time) {
	now := time.Now()
	s.mu.Lock()
	s.health.answered = now
	took := now.Sub(begun)
	s.health.slowest = max(took, s.health.slowest-s.health.slowest/8)
	if s.health.trip == 0 || took < s.health.trip {
		s.health.trip = took
	} else {
		s.health.trip += (took - s.health.trip) / 8
	}
	s.mu.Unlock()
}

// farAfter is the round trip from which a broker counts as far away. Below it, the next request
// collects records while one is in flight, since fewer, fuller requests cost the client and the
// broker less.
const farAfter = 5 * time.Millisecond

// far reports whether answers of the broker take long even when it has little to do.
func (s *sender) far() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health.trip >= s.producer.farAfter
}

// wanted reports whether others need the connection: partitions wait and all workers are busy,
// or the broker wants no requests.
func (s *sender) wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ready) > 0 && s.workers-s.idle >= mostWorkers || !s.mutedUntil().IsZero()
}

// reportSilence reports to the gate that the broker answers nothing while a worker has waited
// since begun. A gate counts failures, and requests to a frozen broker fail rarely, each only
// after its full time; so silence is reported for as long as it lasts. A broker that was slow
// just now gets twice the time that it took: a gate that closed on slowness would reduce what
// such a broker can still do.
func (s *sender) reportSilence(begun time.Time) {
	now := time.Now()
	s.mu.Lock()
	h := &s.health
	since := begun
	// An answer to another request shows that the broker is not silent.
	if h.answered.After(since) {
		since = h.answered
	}
	silent := now.Sub(since)
	report := silent >= min(max(sendPatience, 2*h.slowest), mostPatience) && now.Sub(h.reported) >= cluster.LookAgainAfter
	if report {
		h.reported = now
	}
	s.mu.Unlock()
	if report {
		s.producer.report(s.broker, fmt.Errorf("no answer from %s for %s: %w",
			s.producer.client.BrokerName(s.broker), silent.Round(time.Millisecond), os.ErrDeadlineExceeded))
	}
}

// report reports to the gate the outcome of a request or a connection that began at begun. It
// omits a failure if the broker has answered another request since: that failure says nothing
// about the broker's present state.
func (s *sender) report(begun time.Time, err error) {
	if err != nil {
		s.mu.Lock()
		outdated := s.health.answered.After(begun)
		s.mu.Unlock()
		if outdated {
			return
		}
	}
	s.producer.report(s.broker, err)
}

// report reports to the gate a broker's success, or an error if it concerns the broker's health.
func (p *Producer) report(broker int32, err error) {
	if gate := p.cfg.Gate; gate != nil {
		gate.Report(broker, infrastructure(err))
	}
}
