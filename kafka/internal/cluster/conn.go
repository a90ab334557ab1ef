package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// MaxResponse bounds the size of a response that a broker may announce, in bytes.
const MaxResponse = 256 << 20

// Past is a deadline that interrupts any wait on a connection at once.
var Past = time.Unix(1, 0)

// Conn is a connection lent to one holder for one or more exchanges of request and response,
// one at a time.
type Conn struct {
	// Conn is kafka-go's connection, on which deadlines are set, and bytes are read and written.
	*protocol.Conn
	Link *Link           // the network connection below
	Ctx  context.Context // the holder's
	// Wrote is set as soon as the broker may have received a part of a request.
	Wrote bool
}

// Hold lends a connection to a broker (−1: any of the bootstrap brokers) to serve, dialing one
// if none is idle, and returns what serve returned. If serve was not called, the error is a
// *kerr.ConnectError or ctx's.
//
// When ctx ends, so does everything that serve waits for on the connection. Hold returns only after
// serve has, so serve may use its caller's memory. The connection goes back to the pool if serve
// returns nil and ctx is alive; otherwise it is closed.
func (c *Client) Hold(ctx context.Context, broker int32, serve func(*Conn) error) error {
	for refreshed := 0; ; refreshed++ {
		err := c.lend(ctx, broker, serve)
		if broker < 0 || !errors.Is(err, kerr.BrokerNotAvailable) || refreshed == maxRefreshes {
			return err
		}
		// The pool doesn't know the broker yet, or no longer.
		if err := c.refreshPool(ctx); err != nil {
			return err
		}
	}
}

// maxRefreshes is how often the pool is refreshed for a broker that it does not know. A refresh
// already running may have asked before the broker was there.
const maxRefreshes = 2

// lend lends a pooled connection. It closes spent ones and takes the next; there are at most as
// many as there are idle connections.
func (c *Client) lend(ctx context.Context, broker int32, serve func(*Conn) error) error {
	for untried := 0; ; {
		err := c.lendOnce(ctx, broker, serve, untried == maxUntried)
		if errors.Is(err, errUntried) {
			untried++
		} else if !errors.Is(err, errSpent) {
			return err
		}
	}
}

// maxUntried bounds how many connections that died before they were ever lent are skipped. kafka-go
// opens some by itself, which then sit idle; but if a broker hangs up on every new connection, the
// request must fail in the end.
const maxUntried = 3

// lendOnce lends one connection. The error is errSpent or errUntried if serve was not called
// because the connection should not be used; the pool has then closed it. unchecked skips the
// check of connections that were never lent.
func (c *Client) lendOnce(ctx context.Context, broker int32, serve func(*Conn) error, unchecked bool) error {
	h := &loan{ctx: ctx, broker: broker, serve: serve, unchecked: unchecked, ended: make(chan struct{})}
	_, err := c.pool.RoundTrip(ctx, c.bootstrap, h)
	if !h.state.CompareAndSwap(loanWaits, loanAbandoned) {
		// The exchange has begun. RoundTrip returns at once when ctx ends, perhaps before serve
		// does.
		<-h.ended
		return h.err
	}
	if errors.Is(err, errSpent) || errors.Is(err, errUntried) {
		return err
	}
	if err == nil {
		err = errors.New("the connection pool did not lend a connection")
	}
	return c.connectError(ctx, broker, err)
}

// loan is the message that kafka-go's transport carries for Hold. As a protocol.RawExchanger it
// gets the dialed and authenticated connection to itself until RawExchange returns.
type loan struct {
	ctx       context.Context
	broker    int32
	serve     func(*Conn) error
	unchecked bool // takes a connection that was never lent without checking whether it is open
	state     atomic.Int32
	ended     chan struct{}
	err       error // of serve, readable once ended is closed
}

// A loan's state changes once: to served when the pool's goroutine has a connection for it, or
// to abandoned when the caller stops waiting. The first of the two wins, so serve never runs
// after Hold has returned.
const (
	loanWaits int32 = iota
	loanServed
	loanAbandoned
)

// errSpent makes the pool close a connection that was not lent because it is spent.
var errSpent = errors.New("the pooled connection is spent")

// errUntried is errSpent for a connection that was never lent.
var errUntried = errors.New("the pooled connection was closed before it was used")

// errReturned makes the pool close a connection that must not be used again.
var errReturned = errors.New("connection given back for closing")

// ApiKey completes protocol.Message. The exchange is raw, so its value does not matter.
func (*loan) ApiKey() protocol.ApiKey { return protocol.ApiVersions }

// Required reports that the exchange is raw, whatever versions the broker has.
func (*loan) Required(map[protocol.ApiKey]int16) bool { return true }

// Broker routes the loan.
func (l *loan) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: l.broker}, nil
}

// RawExchange runs on the connection's goroutine.
func (l *loan) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	pc, link, err := linkOf(rw)
	// Check before the loan begins, so that it can begin on another connection.
	switch {
	case err != nil:
	case link.spent():
		return nil, errSpent
	case !link.ready && !l.unchecked && !alive(link.wire):
		return nil, errUntried
	}
	if !l.state.CompareAndSwap(loanWaits, loanServed) {
		return l, nil // nobody waits any more; the connection is still good
	}
	defer close(l.ended)
	if err != nil {
		l.err = err
		return nil, err
	}
	link.lend()
	defer link.takeBack()
	// Conn.Await sets deadlines too. If ctx ends before it does, it finds ctx.Err set afterwards;
	// if later, this deadline overwrites its own.
	stop := context.AfterFunc(l.ctx, func() { _ = pc.SetDeadline(Past) })
	l.err = l.serve(&Conn{Conn: pc, Link: link, Ctx: l.ctx})
	if !stop() || l.err != nil {
		return nil, errReturned
	}
	return l, nil
}

// linkOf returns kafka-go's connection and the link below it.
func linkOf(rw io.ReadWriter) (*protocol.Conn, *Link, error) {
	pc, ok := rw.(*protocol.Conn)
	if !ok {
		return nil, nil, fmt.Errorf("unexpected connection type %T", rw)
	}
	addr, ok := pc.LocalAddr().(linkAddr)
	if !ok {
		return nil, nil, fmt.Errorf("unexpected address type %T", pc.LocalAddr())
	}
	return pc, addr.link, nil
}

// layoutRefresh makes kafka-go's transport refresh its knowledge of the brokers. It has no call
// for that, but does so, before RoundTrip returns, after a response to CreateTopics. This
// message pretends to have had one.
type layoutRefresh struct{}

// ApiKey completes protocol.Message: kafka-go looks at the type of the response.
func (layoutRefresh) ApiKey() protocol.ApiKey { return protocol.CreateTopics }

func (layoutRefresh) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange exchanges nothing.
func (layoutRefresh) RawExchange(io.ReadWriter) (protocol.Message, error) {
	return &createtopics.Response{}, nil
}

// Exchange sends req in the highest version that both sides support, which it sets in req, and
// returns the body of the response, without the header, in memory returned by buf for its size.
func (w *Conn) Exchange(req kmsg.Request, deadline time.Time, buf func(size int) []byte) ([]byte, error) {
	version, err := w.Version(req.Key(), min(req.MaxVersion(), Highest(req.Key())), deadline)
	if err != nil {
		return nil, err
	}
	req.SetVersion(version)
	frame := TakeFrame()
	defer GiveFrame(frame)
	if frame.Bytes, err = appendRequest(frame.Bytes[:0], req, w.Link.client.Options.ClientID); err != nil {
		return nil, err
	}
	return w.Await(frame.Bytes, nil, req.IsFlexible(), deadline, buf)
}

// Await writes a framed request, with its correlation id filled in, and reads the response. If
// pieces is not nil it writes that instead: the frame in pieces, with other memory in between.
// tagged reports whether the response's header ends in tagged fields.
func (w *Conn) Await(frame []byte, pieces net.Buffers, tagged bool, deadline time.Time, buf func(size int) []byte) ([]byte, error) {
	if err := w.Send(frame, pieces, deadline); err != nil {
		return nil, err
	}
	served := w.Link.served.Load()
	body, err := w.Receive(w.Link.Correlation, tagged, deadline, buf)
	if kmsg.Key(binary.BigEndian.Uint16(frame[4:])) == kmsg.ApiVersions {
		w.Link.served.Store(served) // every broker answers that, whatever it expects next
	}
	return body, err
}

// Send writes a request as Await does. Several may be written before the first response is
// read: brokers answer in the order of the requests. A zero deadline leaves the one set by a
// Receive running on another goroutine.
func (w *Conn) Send(frame []byte, pieces net.Buffers, deadline time.Time) error {
	l := w.Link
	l.Correlation++
	binary.BigEndian.PutUint32(frame[8:], uint32(l.Correlation))
	if err := w.limit(deadline); err != nil {
		return err
	}
	w.Wrote = true
	if err := w.send(frame, pieces); err != nil {
		return w.cause(err)
	}
	return nil
}

// limit sets the deadline of the next operations, unless the holder's context has ended.
func (w *Conn) limit(deadline time.Time) error {
	if !deadline.IsZero() {
		if err := w.SetDeadline(deadline); err != nil {
			return err
		}
	}
	return w.Ctx.Err()
}

// Receive reads the response to the request with that correlation id, which must be the oldest
// one without a response.
func (w *Conn) Receive(correlation int32, tagged bool, deadline time.Time, buf func(size int) []byte) ([]byte, error) {
	l := w.Link
	if err := w.limit(deadline); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(w.Conn, l.head[:]); err != nil {
		return nil, w.cause(err)
	}
	size := int(int32(binary.BigEndian.Uint32(l.head[:]))) - 4
	if size < 0 || size > MaxResponse {
		return nil, fmt.Errorf("broker %s announces a response of %d bytes", l.address, size+4)
	}
	if id := int32(binary.BigEndian.Uint32(l.head[4:])); id != correlation {
		return nil, fmt.Errorf("broker %s answered request %d with the response to %d", l.address, correlation, id)
	}
	body := buf(size)[:size]
	if _, err := io.ReadFull(w.Conn, body); err != nil {
		return nil, w.cause(err)
	}
	l.served.Store(true)
	if !tagged {
		return body, nil
	}
	return skipTags(body)
}

// send writes the pieces in one call if the network can.
func (w *Conn) send(frame []byte, pieces net.Buffers) error {
	if len(pieces) == 0 {
		_, err := w.Write(frame)
		return err
	}
	// On a plain TCP connection this is a single writev.
	_, err := pieces.WriteTo(w.Link.wire)
	return err
}

// cause returns the reason why the holder's context ended, if that is what caused the deadline
// error, or err with the broker's address. A broker that answers ApiVersions and hangs up on
// the first request may expect SASL.
func (w *Conn) cause(err error) error {
	if ended := w.Ctx.Err(); ended != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return ended
	}
	l := w.Link
	if !l.served.Load() && l.client.Options.SASL == nil && errors.Is(err, io.EOF) {
		return fmt.Errorf("broker %s hung up on the first request: %s (%w)", l.address, expectsSASL, err)
	}
	return fmt.Errorf("broker %s: %w", l.address, err)
}

// errShort is the error of a response that a broker cut off or encoded wrongly.
var errShort = errors.New("response ends within its header")

// skipTags skips the tagged fields that end a response header (KIP-482).
func skipTags(b []byte) ([]byte, error) {
	fields, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, errShort
	}
	b = b[n:]
	for range fields {
		_, tag := binary.Uvarint(b)
		if tag <= 0 {
			return nil, errShort
		}
		size, n := binary.Uvarint(b[tag:])
		if n <= 0 || size > uint64(len(b)-tag-n) {
			return nil, errShort
		}
		b = b[tag+n+int(size):]
	}
	return b, nil
}
