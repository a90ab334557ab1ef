package cluster

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy forwards connections of clients to one broker. It can delay, limit, silence and reset
// them. It is safe for concurrent use. Create one with NewProxy; the caller calls Close.
type Proxy struct {
	// to is the broker's address.
	to       string
	listener net.Listener
	// Delay is the delay of each chunk in each direction, in nanoseconds.
	Delay atomic.Int64
	// Rate is the bound for each direction of a connection, in bytes per second; 0 means none.
	Rate atomic.Int64
	// Silent stops all bytes and closes nothing, as if a cable were unplugged.
	Silent atomic.Bool

	// mu guards conns.
	mu sync.Mutex
	// conns has both connections of each client: its own, and that to the broker.
	conns map[*net.TCPConn]struct{}
	// work waits for the accepting goroutine and for those of connections.
	work sync.WaitGroup
}

// NewProxy starts a proxy for the broker at an address, host:port. It listens on a free port of
// the loopback interface. The broker need not run yet.
func NewProxy(to string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{to: to, listener: listener, conns: make(map[*net.TCPConn]struct{})}
	p.work.Go(p.accept)
	return p, nil
}

// Address returns the address at which the proxy listens, host:port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// accept serves connections until the listener is closed.
func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		// This goroutine is counted itself, so the count is not zero when Close waits.
		p.work.Go(func() { p.serve(in.(*net.TCPConn)) })
	}
}

// serve forwards one connection until either side closes it.
func (p *Proxy) serve(in *net.TCPConn) {
	defer in.Close()
	// If the broker is down, clients see a broker that accepts and closes connections, which they
	// have to survive too.
	dialled, err := net.DialTimeout("tcp", p.to, 5*time.Second)
	if err != nil {
		return
	}
	out := dialled.(*net.TCPConn)
	defer out.Close()
	p.mu.Lock()
	// A reset has to reach both the client and the broker.
	p.conns[in], p.conns[out] = struct{}{}, struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	// If one direction ends, so does the other: Kafka does not use half-closed connections.
	for _, way := range [][2]*net.TCPConn{{in, out}, {out, in}} {
		both.Go(func() {
			p.forward(way[0], way[1])
			// Closing also ends the Read of the other direction.
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// chunk is the largest number of bytes that are forwarded at once. Delay applies to each, so a
// large answer is delayed several times.
const chunk = 16 << 10

// forward copies in one direction until reading or writing fails.
func (p *Proxy) forward(from, to *net.TCPConn) {
	buffer := make([]byte, chunk)
	for {
		n, err := from.Read(buffer)
		// Bytes that came with an error are forwarded too.
		if n > 0 {
			// Nothing is read meanwhile, so the sender's buffers fill up as on a dead link.
			for p.Silent.Load() {
				time.Sleep(10 * time.Millisecond)
			}
			wait := time.Duration(p.Delay.Load())
			if rate := p.Rate.Load(); rate > 0 {
				wait += time.Duration(int64(n) * int64(time.Second) / rate)
			}
			if wait > 0 {
				// Each direction has its goroutine, so order is kept and the other one continues.
				time.Sleep(wait)
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			// Without lingering, closing passes a reset on as a reset.
			if !errors.Is(err, io.EOF) {
				_ = to.SetLinger(0)
			}
			return
		}
	}
}

// Reset ends every connection by a TCP reset, even within a request or an answer.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// Heal sets Delay, Rate and Silent to zero. Connections that were silent continue where they
// stopped.
func (p *Proxy) Heal() {
	p.Delay.Store(0)
	p.Rate.Store(0)
	p.Silent.Store(false)
}

// Close stops the proxy, resets its connections, and waits for its goroutines.
func (p *Proxy) Close() {
	// A goroutine that waits while Silent is set would never end.
	p.Heal()
	_ = p.listener.Close()
	p.Reset()
	p.work.Wait()
}
