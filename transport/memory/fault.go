package memory

import "slices"

// produceFaults are the faults that records meet when they are written. The
// cluster's mutex guards them.
type produceFaults struct {
	faults []*produceFault
	holds  []*acknowledgementHold
}

// produceFault is what happens to the next records of a topic.
type produceFault struct {
	topic  string
	left   int // records; negative: without end
	copies int // appended of each
	err    error
}

// acknowledgementHold is one HoldAcknowledgements.
type acknowledgementHold struct {
	topic   string
	waiting []held
}

// held is a record whose acknowledgement is held: see outcome.
type held interface {
	settle(error)
	deliver()
}

// next returns the fault that the next record of a topic meets, and counts it down.
func (s *produceFaults) next(topic string) *produceFault {
	for _, f := range s.faults {
		if f.topic == topic && f.left != 0 {
			f.left--
			return f
		}
	}
	return nil
}

// stop ends the faults of a topic; its holds go on.
func (s *produceFaults) stop(topic string) {
	s.faults = slices.DeleteFunc(s.faults, func(f *produceFault) bool { return f.topic == topic })
}

// hold returns the hold that a topic is under, nil if there is none.
func (s *produceFaults) hold(topic string) *acknowledgementHold {
	for _, h := range s.holds {
		if h.topic == topic {
			return h
		}
	}
	return nil
}

// release removes a hold and returns what it held: nothing the second time.
func (s *produceFaults) release(h *acknowledgementHold) []held {
	s.holds = slices.DeleteFunc(s.holds, func(o *acknowledgementHold) bool { return o == h })
	waiting := h.waiting
	h.waiting = nil
	return waiting
}
