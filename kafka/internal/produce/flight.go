package produce

import (
	"errors"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// flight is a Produce request in flight, which is Kafka's term
// (max.in.flight.requests.per.connection) for one that was sent and is not answered yet.
type flight struct {
	carried []flightBatch
	left    []flightBatch // rest of carried, from the first one without an answer on
	size    int           // of the batches, in bytes
	begun   time.Time
	// deadline is the earliest of the batches' deadlines and the request timeout.
	deadline    time.Time
	correlation int32
	version     int16  // of the request
	wrote       bool   // the broker may have received all or part of it
	body        []byte // memory for responses, reused with the flight
}

// flightBatch is a batch in a request. Once answered it is the zero flightBatch.
type flightBatch struct {
	part   *partition
	batch  *partitionBatch
	sentTo transport.TopicID
}

// newFlight returns an empty flight, reusing a finished one if there is any.
func (r *round) newFlight() *flight {
	n := len(r.spare)
	if n == 0 {
		return new(flight)
	}
	f := r.spare[n-1]
	r.spare = r.spare[:n-1]
	return f
}

// reuse keeps a finished flight for newFlight.
func (r *round) reuse(f *flight) {
	clear(f.carried)
	*f = flight{carried: f.carried[:0], body: f.body}
	r.spare = append(r.spare, f)
}

// add adds a batch to the request.
func (f *flight) add(p *partition, b *partitionBatch) {
	f.carried = append(f.carried, flightBatch{part: p, batch: b})
	f.size += len(b.wire())
}

// memory returns the memory of an earlier response, if it is large enough. Nothing of a
// response is kept after accept.
func (f *flight) memory(size int) []byte {
	if cap(f.body) < size {
		f.body = make([]byte, size)
	}
	return f.body[:size]
}

// waiting returns the partitions of the requests in flight.
func (r *round) waiting() (parts []*partition) {
	for _, f := range r.flights {
		for i := range f.carried {
			parts = append(parts, f.carried[i].part)
		}
	}
	return parts
}

// byTopic implements sort.Interface. slices.SortStableFunc would add 14 kB to a program for
// each type, and sort.SliceStable allocates for each request.
type byTopic flight

func (f *byTopic) Len() int      { return len(f.carried) }
func (f *byTopic) Swap(i, j int) { f.carried[i], f.carried[j] = f.carried[j], f.carried[i] }
func (f *byTopic) Less(i, j int) bool {
	return f.carried[i].part.topic.name < f.carried[j].part.topic.name
}

// send sends a request, which is then in flight.
func (r *round) send(f *flight) error {
	p := r.sender.producer
	// By topic, since the request names each topic once.
	sort.Stable((*byTopic)(f))
	first := len(r.flights) == 0
	f.begun = time.Now()
	f.deadline = f.begun.Add(p.client.Options.RequestTimeout)
	fresh := false
	for i := range f.carried {
		c := &f.carried[i]
		// A request gets a producer id at most once, over its own connection. Batches behind
		// another request have one already.
		fresh = fresh || c.part.session.ID < 0
		if d := c.batch.deadline; d.Before(f.deadline) {
			f.deadline = d
		}
	}
	r.flights = append(r.flights, f)
	r.watch.begin(r.flights[0].begun, r.sent, r.stop)
	defer r.watch.end()
	var session batch.ProducerSession
	if fresh {
		var throttle time.Duration
		var err error
		if session, throttle, err = p.ids.get(r.conn, f.deadline); err != nil {
			return err
		}
		if throttle > 0 {
			// The broker would not read anything further on this connection.
			r.sender.mute(throttle)
			return errMuted
		}
	}
	r.req.flight = f
	version, err := r.conn.Version(int16(kmsg.Produce), r.req.mostVersion(), f.deadline)
	if err != nil {
		return err
	}
	for i := range f.carried {
		f.carried[i].part.stamp(f.carried[i].batch, session)
	}
	// Let the broker wait for the replicas for at most half of the time, so that its answer
	// that they are late comes before the connection is given up.
	r.req.TimeoutMillis = int32(max(min(time.Until(f.deadline), p.client.Options.RequestTimeout/2).Milliseconds(), 1))
	r.req.SetVersion(version)
	frame := cluster.TakeFrame()
	defer cluster.GiveFrame(frame)
	frame.Bytes = r.req.frame(p.client.Options.ClientID, frame.Bytes[:0])
	pieces := r.req.pieces(frame.Bytes)
	f.correlation, f.version = r.conn.Link.Correlation+1, version
	deadline := f.deadline
	if !first {
		deadline = time.Time{} // that of the response being read
		r.expect <- f
	}
	r.conn.Wrote = false
	err = r.conn.Send(frame.Bytes, pieces, deadline)
	f.wrote = r.conn.Wrote
	return err
}

// awaitResponse waits for the answer to the only request in flight, and acts on it.
func (r *round) awaitResponse() error {
	f := r.flights[0]
	r.watch.begin(f.begun, r.sent, r.stop)
	body, err := r.conn.Receive(f.correlation, f.version >= 9, f.deadline, f.memory)
	r.watch.end()
	if err != nil {
		return err
	}
	return r.handleResponse(body)
}

// handleResponse acts on the response to the oldest request in flight.
func (r *round) handleResponse(body []byte) error {
	f := r.flights[0]
	r.resp.SetVersion(f.version)
	if err := r.resp.UnsafeReadFrom(body); err != nil {
		return err
	}
	r.sender.noteAnswer(f.begun)
	r.flights = slices.Delete(r.flights, 0, 1)
	r.accept(f)
	r.reuse(f)
	return nil
}

// received is a response, or the reason why there is none.
type received struct {
	body []byte
	err  error
}

// pipeline handles the response to the request in flight, and sends further ones with new batches
// of the same partitions. Another goroutine reads the responses: a broker that can't send them
// reads no requests.
func (r *round) pipeline() error {
	// Neither channel can be full, so neither side waits for the other.
	r.expect, r.come = make(chan *flight, mostUnderWay), make(chan received, mostUnderWay)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.read(r.expect, r.come)
	}()
	r.expect <- r.flights[0]
	err := r.exchange()
	if err != nil {
		r.stop()
	}
	close(r.expect)
	<-ended
	r.expect = nil
	return err
}

// exchange sends and receives until nothing is in flight.
func (r *round) exchange() error {
	for len(r.flights) > 0 {
		if err := r.follow(); err != nil {
			return r.cause(err)
		}
		r.watch.begin(r.flights[0].begun, r.sent, r.stop)
		select {
		case a := <-r.come:
			r.watch.end()
			if a.err != nil {
				return a.err
			}
			if err := r.handleResponse(a.body); err != nil {
				return err
			}
		case <-r.more:
			r.watch.end()
		}
	}
	return nil
}

// cause returns why no response came, if that ended the write that failed with err.
func (r *round) cause(err error) error {
	for {
		select {
		case a := <-r.come:
			if a.err != nil {
				return a.err
			}
		default:
			return err
		}
	}
}

// read reads the responses to the expected requests.
func (r *round) read(expect <-chan *flight, come chan<- received) {
	for f := range expect {
		var a received
		a.err = r.conn.SetDeadline(f.deadline)
		// Check after setting the deadline, which would undo that of stop.
		if r.stopped.Load() && a.err == nil {
			a.err = os.ErrDeadlineExceeded
		}
		if a.err == nil {
			a.body, a.err = r.conn.Receive(f.correlation, f.version >= 9, time.Time{}, f.memory)
		}
		come <- a
		if a.err != nil {
			// Setting the deadline may have undone the one that ends a stuck write.
			_ = r.conn.SetDeadline(cluster.Past)
			return
		}
	}
}

// follow sends new batches of the partitions in flight, if the broker is far away and nobody
// else needs the connection.
func (r *round) follow() error {
	// Once the holder's context has ended, waiting for a response ends too.
	if len(r.flights) >= mostUnderWay || !r.sender.far() || r.conn.Link.Retired() || r.sender.wanted() {
		return nil
	}
	next := r.newFlight()
	limit := r.sender.producer.cfg.RequestBytes
	for _, f := range r.flights {
		for i := range f.carried {
			c := &f.carried[i]
			if next.size >= limit || !c.part.newest(c.batch) {
				continue
			}
			if b := c.part.follow(r.more); b != nil {
				next.add(c.part, b)
			}
		}
	}
	if len(next.carried) == 0 {
		r.reuse(next)
		return nil
	}
	return r.send(next)
}

// answers removes and returns the batch that an answer is for, or nil if none is left of that
// topic and index. Brokers mostly answer in the order of the request, so it is usually the
// first one left.
func (f *flight) answers(topic *kmsg.ProduceResponseTopic, index int32) (*partition, *partitionBatch) {
	named := f.version < byID
	for i, c := range f.left {
		if c.part != nil && c.part.index == index && (named && c.part.topic.name == topic.Topic || !named && c.sentTo == topic.TopicID) {
			f.left[i] = flightBatch{}
			if i == 0 {
				f.left = f.left[1:]
			}
			return c.part, c.batch
		}
	}
	return nil, nil
}

// ErrUnanswered is the error of a partition that is missing from the response to its request.
var ErrUnanswered = errors.New("the broker's response leaves the partition out")

// unanswered repeats the batches that the broker's response does not mention. The broker may
// have appended them.
func (f *flight) unanswered() {
	for _, c := range f.left {
		if c.part != nil {
			c.part.unanswered(c.batch, true, func() { c.part.retry(ErrUnanswered) })
		}
	}
}
