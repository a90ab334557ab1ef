package memory

import "slices"

// produceFaults are the faults of records being written. The cluster's mutex guards them. The
// zero value has none.
type produceFaults struct {
	faults []*produceFault
	holds  []*acknowledgementHold
}

// produceFault is the fault of the next records of a topic. With copies 0 the record is not
// written. With copies and an err it is written, and the producer gets err all the same: a lost
// acknowledgement.
type produceFault struct {
	topic  string
	left   int // records left; negative: unlimited
	copies int // times each record is appended
	err    error
}

// acknowledgementHold is one call of HoldAcknowledgements.
type acknowledgementHold struct {
	topic   string
	waiting []held
}

// held is a record whose acknowledgement is held; see outcome. All records of a hold are settled
// before the first is delivered, since a completion runs without the mutex and may produce.
type held interface {
	settle(error)
	deliver()
}

// next returns the fault of a topic's next record, and counts it down. A fault that is used up
// stays in the list, at 0, until StopProduceFaults: tests set few.
func (s *produceFaults) next(topic string) *produceFault {
	for _, f := range s.faults {
		if f.topic == topic && f.left != 0 {
			f.left--
			return f
		}
	}
	return nil
}

// stop ends the faults of a topic, but not its holds: only release ends a hold, so that its
// records are not forgotten.
func (s *produceFaults) stop(topic string) {
	s.faults = slices.DeleteFunc(s.faults, func(f *produceFault) bool { return f.topic == topic })
}

// hold returns the oldest hold on a topic, nil if there is none.
func (s *produceFaults) hold(topic string) *acknowledgementHold {
	for _, h := range s.holds {
		if h.topic == topic {
			return h
		}
	}
	return nil
}

// release removes a hold and returns its records, the first time only.
func (s *produceFaults) release(h *acknowledgementHold) []held {
	s.holds = slices.DeleteFunc(s.holds, func(o *acknowledgementHold) bool { return o == h })
	// Clear it, or a second release would deliver the outcomes again.
	waiting := h.waiting
	h.waiting = nil
	return waiting
}
