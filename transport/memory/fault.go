package memory

import "slices"

// produceFaults are the faults that records meet when they are written. The
// cluster's mutex guards them.
// The zero value has none.
type produceFaults struct {
	faults []*produceFault
	holds  []*acknowledgementHold
}

// produceFault is what happens to the next records of a topic.
// With copies of 0 the record is not written; with an err and a copy it is written and
// the producer hears the err nevertheless, which is a lost acknowledgement.
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
// All of a hold are settled before the first is delivered, since a completion runs
// without the mutex and may produce again.
type held interface {
	settle(error)
	deliver()
}

// next returns the fault that the next record of a topic meets, and counts it down.
// A fault that has run out stays in the list, at 0, until StopProduceFaults: tests set few.
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
// Only release ends a hold, so that the records it holds are not forgotten.
func (s *produceFaults) stop(topic string) {
	s.faults = slices.DeleteFunc(s.faults, func(f *produceFault) bool { return f.topic == topic })
}

// hold returns the hold that a topic is under, nil if there is none.
// Of several on one topic it is the oldest.
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
	// Without it a second release would deliver outcomes that were delivered already.
	waiting := h.waiting
	h.waiting = nil
	return waiting
}
