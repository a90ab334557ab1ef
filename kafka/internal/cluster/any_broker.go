package cluster

import (
	"context"
	"errors"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

const (
	// silence is how long a broker may stay silent before another is asked too: a frozen
	// broker accepts connections and requests, and never answers.
	silence = 500 * time.Millisecond
	// askedAgain is how many more requests are sent after every broker was asked and none has
	// answered.
	askedAgain = 3
	// askedLastFor is how long a silent broker is asked after all others.
	askedLastFor = 10 * time.Second
)

// AnyBroker sends req to a bootstrap broker. Whenever nobody has answered for a while, or a
// broker can't be reached, it also asks another broker that the cluster was last known to
// have. The first answer counts, even from a broker that is only slow: a Java broker's first
// TLS handshake takes seconds.
func (c *Client) AnyBroker(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	// Each broker is asked on its own goroutine. They end with within, and AnyBroker waits
	// for them: they use the client, which may be closed next.
	type answer struct {
		broker int32
		resp   kmsg.Response
		err    error
	}
	within, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	// The channel has room for all possible answers, so no goroutine blocks on it.
	brokers := c.metadata.askable(time.Now())
	answers := make(chan answer, len(brokers)+askedAgain)
	asked, waiting := 0, 0
	// next asks one more broker. After the last it starts again with the first: the request
	// may have been lost with its connection.
	next := func() {
		broker, own := brokers[asked%len(brokers)], copyOf(req)
		asked++
		waiting++
		asking.Go(func() {
			resp, err := c.Request(within, broker, own)
			answers <- answer{broker, resp, err}
		})
	}
	next()
	patience := time.NewTimer(silence)
	defer patience.Stop()
	var last error
	for waiting > 0 {
		select {
		case <-patience.C:
			c.metadata.note(brokers[(asked-1)%len(brokers)], true)
			if asked < cap(answers) {
				next()
				patience.Reset(silence << (asked / len(brokers)))
			}
		case a := <-answers:
			waiting--
			switch {
			// Return an answer, whatever the other brokers say, and an error that every broker
			// would return.
			case a.err == nil:
				c.metadata.note(a.broker, false)
				return a.resp, nil
			case ctx.Err() != nil || !kerr.Retriable(a.err):
				return nil, a.err
			}
			if last == nil || !errors.Is(a.err, os.ErrDeadlineExceeded) {
				last = a.err
			}
			if asked < len(brokers) {
				next()
				patience.Reset(silence)
			}
		}
	}
	return nil, last
}

// copyOf returns a copy of a request, since sending sets its version. Memory behind its fields is
// shared and only read.
func copyOf(req kmsg.Request) kmsg.Request {
	if r, ok := req.(rare); ok {
		r.Request = copyOf(r.Request)
		return r
	}
	from := reflect.ValueOf(req).Elem()
	to := reflect.New(from.Type())
	to.Elem().Set(from)
	return to.Interface().(kmsg.Request)
}

// askable returns the brokers in the order to ask them: the bootstrap brokers (−1), the others at
// random, and last those that were silent lately.
func (m *metadata) askable(now time.Time) []int32 {
	brokers := append([]int32{-1}, m.brokerIDs()...)
	m.mu.Lock()
	defer m.mu.Unlock()
	var prompt, late []int32
	for _, broker := range brokers {
		if at, silent := m.silent[broker]; silent && now.Sub(at) < askedLastFor {
			late = append(late, broker)
		} else {
			prompt = append(prompt, broker)
		}
	}
	return append(prompt, late...)
}

// note records whether a broker was silent when asked.
func (m *metadata) note(broker int32, silent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if silent {
		m.silent[broker] = time.Now()
	} else {
		delete(m.silent, broker)
	}
}
