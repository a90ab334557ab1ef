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
	// silence is for how long a broker may say nothing before another is asked as
	// well: one that is frozen takes connections and requests, and never answers.
	silence = 500 * time.Millisecond
	// askedAgain is how often brokers are asked again when all have been asked and
	// none has said anything.
	askedAgain = 3
	// askedLastFor is for how long a broker that was silent is asked last.
	askedLastFor = 10 * time.Second
)

// AnyBroker sends req to a bootstrap broker and, whenever nobody has answered for
// a while, or who was asked can't be reached, to another of those that the cluster
// was last known to have. The first answer counts. A broker that is only slow (a Java
// broker's first TLS handshake takes seconds) is still listened to.
func (c *Client) AnyBroker(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	// Each broker gets the request on a goroutine of its own. They end with within, and
	// AnyBroker waits for them: they use the client, which may be closed next.
	type answer struct {
		broker int32
		resp   kmsg.Response
		err    error
	}
	within, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	// The channel holds all answers that may come, so no goroutine blocks on it.
	brokers := c.metadata.askable(time.Now())
	answers := make(chan answer, len(brokers)+askedAgain)
	asked, waiting := 0, 0
	// next asks one more broker. After all have been asked it begins with the first again:
	// a request may have been lost with its connection.
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
			// An answer is the end, whatever the others say, and so is an error that every
			// broker would answer with.
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

// copyOf is a request of its own, since sending one sets its version. What lies
// behind its fields is shared, and only read.
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

// askable are the brokers in the order to ask them: the bootstrap brokers (−1)
// and then the others at random, but those that were silent lately last.
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

// note remembers whether a broker was silent when it was asked.
func (m *metadata) note(broker int32, silent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if silent {
		m.silent[broker] = time.Now()
	} else {
		delete(m.silent, broker)
	}
}
