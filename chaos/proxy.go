package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy stands between the clients and one broker. It delays, limits, cuts and
// resets connections.
type proxy struct {
	to       string
	listener net.Listener
	// delay is in nanoseconds for each chunk, in each direction.
	delay atomic.Int64
	// rate is in bytes per second, of each connection and direction; 0 is
	// unlimited.
	rate atomic.Int64
	// silent lets nothing pass, and closes nothing: as a cable that was pulled.
	silent atomic.Bool

	mu    sync.Mutex
	conns map[*net.TCPConn]struct{}
	work  sync.WaitGroup
}

// newProxy starts a proxy for the broker at an address.
func newProxy(to string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{to: to, listener: listener, conns: make(map[*net.TCPConn]struct{})}
	p.work.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// accept serves connections until the listener is closed.
func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(in.(*net.TCPConn)) })
	}
}

// serve forwards one connection until either side ends it.
func (p *proxy) serve(in *net.TCPConn) {
	defer in.Close()
	dialled, err := net.DialTimeout("tcp", p.to, 5*time.Second)
	if err != nil {
		return
	}
	out := dialled.(*net.TCPConn)
	defer out.Close()
	p.mu.Lock()
	p.conns[in], p.conns[out] = struct{}{}, struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{in, out}, {out, in}} {
		both.Go(func() {
			p.forward(way[0], way[1])
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
const chunk = 16 << 10

// forward copies in one direction.
func (p *proxy) forward(from, to *net.TCPConn) {
	buffer := make([]byte, chunk)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			for p.silent.Load() {
				time.Sleep(10 * time.Millisecond)
			}
			wait := time.Duration(p.delay.Load())
			if rate := p.rate.Load(); rate > 0 {
				wait += time.Duration(int64(n) * int64(time.Second) / rate)
			}
			if wait > 0 {
				time.Sleep(wait)
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = to.SetLinger(0)
			}
			return
		}
	}
}

// reset ends every connection with a TCP reset, in the middle of what it
// carries.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// heal lets everything pass again, without delay.
func (p *proxy) heal() {
	p.delay.Store(0)
	p.rate.Store(0)
	p.silent.Store(false)
}

// close ends the proxy and its connections.
func (p *proxy) close() {
	p.heal()
	_ = p.listener.Close()
	p.reset()
	p.work.Wait()
}
