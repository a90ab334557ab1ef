package produce

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// producerIDs provides the producer id with which partitions start to write. Most producers
// need only one. It is safe for concurrent use.
type producerIDs struct {
	current atomic.Pointer[batch.ProducerSession] // nil if the next get must fetch one
}

// get returns the current id. If there is none it fetches one over w, from any broker. throttle
// is how long that broker then wants no more requests.
//
// Several workers may fetch at the same time, each from its own broker, and all ids but one are
// dropped: with a lock, a frozen broker would hold up the others.
func (p *producerIDs) get(w *cluster.Conn, deadline time.Time) (session batch.ProducerSession, throttle time.Duration, err error) {
	if s := p.current.Load(); s != nil {
		return *s, 0, nil
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = nil
	req.ProducerID, req.ProducerEpoch = -1, -1
	body, err := w.Exchange(req, deadline, cluster.Allocate)
	if err != nil {
		return session, 0, fmt.Errorf("getting a producer id: %w", err)
	}
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.SetVersion(req.GetVersion())
	if err = resp.ReadFrom(body); err == nil {
		err = kerr.CodeError(resp.ErrorCode)
	}
	if err != nil {
		return session, 0, fmt.Errorf("getting a producer id: %w", err)
	}
	throttle = cluster.Throttle(resp.ThrottleMillis)
	session = batch.ProducerSession{ID: resp.ProducerID, Epoch: resp.ProducerEpoch}
	// Another worker was faster: use its id and drop this one.
	if !p.current.CompareAndSwap(nil, &session) {
		if s := p.current.Load(); s != nil {
			return *s, throttle, nil
		}
	}
	return session, throttle, nil
}

// retire drops an id that a broker has fenced or forgotten: if it is still current, the next
// get fetches another.
func (p *producerIDs) retire(id int64) {
	if s := p.current.Load(); s != nil && s.ID == id {
		p.current.CompareAndSwap(s, nil)
	}
}
