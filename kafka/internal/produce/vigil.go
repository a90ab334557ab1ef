package produce

import (
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
)

// sendPatience is after how long without an answer it is found out, again and
// again, whether what is sent is led by another broker now. One that is frozen
// takes requests and is silent, and they would be waited for to their end.
const sendPatience = 2 * time.Second

// vigil watches over one worker's waits for a broker. It ends one when a partition
// that it is about is led by another.
type vigil struct {
	sender *sender
	timer  *time.Timer

	mu    sync.Mutex
	parts func() []*partition // what the wait is about; nil while there is none
	end   func()
}

func newVigil(s *sender) *vigil {
	v := &vigil{sender: s}
	v.timer = time.AfterFunc(sendPatience, func() { s.producer.spawn(v.look) })
	v.timer.Stop()
	return v
}

// begin notes that the worker waits. parts and end are called until over is, and
// not after it has returned.
func (v *vigil) begin(parts func() []*partition, end func()) {
	v.mu.Lock()
	v.parts, v.end = parts, end
	v.timer.Reset(sendPatience)
	v.mu.Unlock()
}

// over notes that it has what it waited for.
func (v *vigil) over() {
	v.mu.Lock()
	v.parts, v.end = nil, nil
	v.timer.Stop()
	v.mu.Unlock()
}

// look asks the cluster. Meanwhile the wait may be over, and the next have begun:
// then the answer is heeded for that one.
func (v *vigil) look() {
	var names []string
	v.mu.Lock()
	if v.parts == nil {
		v.mu.Unlock()
		return
	}
	for _, p := range v.parts() {
		if !slices.Contains(names, p.topic.name) {
			names = append(names, p.topic.name)
		}
	}
	v.mu.Unlock()
	if len(names) > 0 {
		_ = v.sender.producer.client.Refresh(v.sender.producer.ctx, names...)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.parts == nil {
		return
	}
	if slices.ContainsFunc(v.parts(), v.sender.deposed) {
		v.end()
		return
	}
	v.timer.Reset(cluster.LookAgainAfter)
}

// deposed reports whether the broker is known not to lead a partition any more.
func (s *sender) deposed(p *partition) bool {
	t := s.producer.client.KnownTopic(p.topic.name)
	if t == nil || int(p.index) >= len(t.Partitions) {
		return false
	}
	leader := t.Partitions[p.index].Leader
	return leader >= 0 && leader != s.broker
}

// waiters are the partitions that wait for a connection.
func (s *sender) waiters() []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ready)
}
