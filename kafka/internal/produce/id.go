package produce

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// producerIDs hands out the producer id under which partitions begin to write.
// Most producers need one in their life. It is safe for concurrent use.
type producerIDs struct {
	current atomic.Pointer[batch.ProducerSession] // nil if the next who asks must fetch one
	mu      sync.Mutex                            // held while one is fetched
}

// get returns the current id, fetching one over w, whatever broker it leads to,
// if there is none.
func (p *producerIDs) get(w *cluster.Conn, deadline time.Time) (batch.ProducerSession, error) {
	if s := p.current.Load(); s != nil {
		return *s, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.current.Load(); s != nil {
		return *s, nil
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = nil
	req.ProducerID, req.ProducerEpoch = -1, -1
	body, err := w.Exchange(req, deadline, cluster.Allocate)
	if err != nil {
		return batch.ProducerSession{}, fmt.Errorf("getting a producer id: %w", err)
	}
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.SetVersion(req.GetVersion())
	if err = resp.ReadFrom(body); err == nil {
		err = kerr.CodeError(resp.ErrorCode)
	}
	if err != nil {
		return batch.ProducerSession{}, fmt.Errorf("getting a producer id: %w", err)
	}
	s := &batch.ProducerSession{ID: resp.ProducerID, Epoch: resp.ProducerEpoch}
	p.current.Store(s)
	return *s, nil
}

// retire makes the next get fetch another id, if id is still the current one.
func (p *producerIDs) retire(id int64) {
	if s := p.current.Load(); s != nil && s.ID == id {
		p.current.CompareAndSwap(s, nil)
	}
}
