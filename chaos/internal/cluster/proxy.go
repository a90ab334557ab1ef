package cluster

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy stands between the clients and one broker. It delays, limits, cuts and
// resets connections. It is safe for concurrent use.
type Proxy struct {
	// to is the broker's address.
	to       string
	listener net.Listener
	// Delay is in nanoseconds for each chunk, in each direction.
	Delay atomic.Int64
	// Rate is in bytes per second, of each connection and direction; 0 is
	// unlimited.
	Rate atomic.Int64
	// Silent lets nothing pass, and closes nothing: as a cable that was pulled.
	Silent atomic.Bool

	// mu guards conns.
	mu sync.Mutex
	// conns has both ends of each connection.
	conns map[*net.TCPConn]struct{}
	// work waits for the accepting goroutine and for connections.
	work sync.WaitGroup
}

// NewProxy starts a proxy for the broker at an address.
// The broker need not run yet. The caller closes the proxy.
func NewProxy(to string) (*Proxy, error) {
	// A free port, on this machine alone.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{to: to, listener: listener, conns: make(map[*net.TCPConn]struct{})}
	p.work.Go(p.accept)
	return p, nil
}

// Address returns where the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// accept serves connections until the listener is closed.
func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		// Added by a goroutine that is counted itself, so Wait in Close can't be ahead of it.
		p.work.Go(func() { p.serve(in.(*net.TCPConn)) })
	}
}

// serve forwards one connection until either side ends it.
func (p *Proxy) serve(in *net.TCPConn) {
	defer in.Close()
	// Each client's connection is one to the broker. A broker that is down shows as one that
	// accepts and closes, which clients have to bear as well.
	dialled, err := net.DialTimeout("tcp", p.to, 5*time.Second)
	if err != nil {
		return
	}
	out := dialled.(*net.TCPConn)
	defer out.Close()
	p.mu.Lock()
	// Both ends, because a reset has to reach the client and the broker.
	p.conns[in], p.conns[out] = struct{}{}, struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	// When one direction ends, so does the other: Kafka uses no half-closed
	// connections.
	for _, way := range [][2]*net.TCPConn{{in, out}, {out, in}} {
		both.Go(func() {
			p.forward(way[0], way[1])
			// Closing ends the Read of the other direction.
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// chunk is how many bytes are forwarded at once.
// It is also the unit of Delay: a large answer is delayed once for each.
const chunk = 16 << 10

// forward copies in one direction.
func (p *Proxy) forward(from, to *net.TCPConn) {
	buffer := make([]byte, chunk)
	for {
		n, err := from.Read(buffer)
		// What was read is passed on even if an error came with it.
		if n > 0 {
			// A reader that waits here stops reading, so the sender's buffers fill
			// up as on a dead link.
			for p.Silent.Load() {
				time.Sleep(10 * time.Millisecond)
			}
			wait := time.Duration(p.Delay.Load())
			if rate := p.Rate.Load(); rate > 0 {
				wait += time.Duration(int64(n) * int64(time.Second) / rate)
			}
			if wait > 0 {
				// Within the copying goroutine, so that order is kept and the other direction goes on.
				time.Sleep(wait)
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			// A reset is passed on as a reset.
			if !errors.Is(err, io.EOF) {
				_ = to.SetLinger(0)
			}
			return
		}
	}
}

// Reset ends every connection with a TCP reset, in the middle of what it
// carries.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// Heal lets everything pass again, without Delay.
// Connections that were held back go on where they were.
func (p *Proxy) Heal() {
	p.Delay.Store(0)
	p.Rate.Store(0)
	p.Silent.Store(false)
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	// Healed first: a forward that waits while Silent is set would never end, and Wait with it.
	p.Heal()
	_ = p.listener.Close()
	p.Reset()
	p.work.Wait()
}
