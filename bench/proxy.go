package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// proxyVariable is read by scripts/kafka.sh too. It is LISTEN:ADVERTISED: broker 1
// listens on the first port as well, and tells those who come that way to come to the
// second, where the proxy stands. So the proxy rewrites nothing, and any client can use it.
const proxyVariable = "KAFKA_PROXY"

// proxy makes a broker distant: each byte arrives later by half of the round trip, in
// either direction, and as many at a time as the sender likes. Connecting takes no
// longer than without it, which on a real network it would, by one round trip.
type proxy struct {
	listener net.Listener
	broker   string
	delay    time.Duration
	work     sync.WaitGroup

	// mu guards conns, which has both ends of each connection.
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// openProxy starts a proxy at the advertised port. The caller closes it.
func openProxy(roundTrip time.Duration) (*proxy, error) {
	listen, advertised, ok := strings.Cut(os.Getenv(proxyVariable), ":")
	if !ok {
		return nil, fmt.Errorf("set %s to LISTEN:ADVERTISED, two free ports, for both scripts/kafka.sh and this command, or leave the broker to this command", proxyVariable)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+advertised)
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, broker: "127.0.0.1:" + listen, delay: roundTrip / 2, conns: make(map[net.Conn]struct{})}
	p.work.Go(p.accept)
	return p, nil
}

// holdProxy keeps a proxy open until ctx ends.
func holdProxy(ctx context.Context, roundTrip time.Duration, out io.Writer) error {
	p, err := openProxy(roundTrip)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "a round trip of %v to the broker at %s\n", roundTrip, p.address())
	<-ctx.Done()
	p.close()
	return nil
}

// freePorts returns two ports that nobody listens on, as the variable has them.
func freePorts() (string, error) {
	var ports []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		// Both are closed at the end, so that they differ.
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return strings.Join(ports, ":"), nil
}

// address returns where clients find the broker.
func (p *proxy) address() string { return p.listener.Addr().String() }

// close ends the proxy and its connections.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

// accept serves connections until the listener is closed.
func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(in) })
	}
}

// serve forwards one connection until either side ends it.
func (p *proxy) serve(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.broker)
	if err != nil {
		return
	}
	defer out.Close()
	p.mu.Lock()
	p.conns[in], p.conns[out] = struct{}{}, struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			p.forward(way[0], way[1])
			// Kafka uses no connections that are closed on one side alone.
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// parcel is some bytes on their way.
type parcel struct {
	data []byte
	due  time.Time
}

// onTheWay bounds the parcels of one direction, of at most 64 KiB each: far more than a
// round trip of what the machine can forward, so the sender never waits for it.
const onTheWay = 4096

// forward copies in one direction. What is read waits for its time while more is read.
func (p *proxy) forward(from, to net.Conn) {
	parcels := make(chan parcel, onTheWay)
	p.work.Go(func() {
		defer close(parcels)
		for {
			buffer := make([]byte, 64<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				parcels <- parcel{buffer[:n], time.Now().Add(p.delay)}
			}
			if err != nil {
				return
			}
		}
	})
	failed := false
	// To the end, so that the reader is never left waiting.
	for sent := range parcels {
		time.Sleep(time.Until(sent.due))
		if !failed {
			_, err := to.Write(sent.data)
			failed = err != nil
		}
	}
}
