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

// proxyVariable names an environment variable that scripts/kafka.sh reads too. Its value is
// LISTEN:ADVERTISED, two ports. Broker 1 also listens on the first, and advertises the second,
// on which the proxy listens, to clients that connect there. So the proxy changes no bytes, and
// works for any client.
const proxyVariable = "KAFKA_PROXY"

// proxy makes a broker distant: in either direction each byte arrives half a round trip
// later. It does not limit the rate. Connecting takes no longer than without it, unlike in a
// real network, where it takes one round trip more.
type proxy struct {
	listener net.Listener
	broker   string
	delay    time.Duration
	work     sync.WaitGroup

	// mu guards conns, which has both connections of each client: its own, and that to the
	// broker.
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// openProxy starts a proxy on the advertised port. The caller closes it. Several proxies
// can't be open at the same time.
func openProxy(roundTrip time.Duration) (*proxy, error) {
	listen, advertised, ok := strings.Cut(os.Getenv(proxyVariable), ":")
	if !ok {
		return nil, fmt.Errorf("set %s to LISTEN:ADVERTISED, two free ports, for scripts/kafka.sh and this command, or let this command start the broker", proxyVariable)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+advertised)
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, broker: "127.0.0.1:" + listen, delay: roundTrip / 2, conns: make(map[net.Conn]struct{})}
	p.work.Go(p.accept)
	return p, nil
}

// holdProxy opens a proxy, writes its address to out, and closes it when ctx ends.
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

// freePorts returns two ports on which nobody listens, in the form of the variable. Another
// program may take them before they are used.
func freePorts() (string, error) {
	var ports []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		// Both stay open until the end, so that their ports differ.
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return strings.Join(ports, ":"), nil
}

// address returns the address at which clients reach the broker, host:port.
func (p *proxy) address() string { return p.listener.Addr().String() }

// close stops the proxy, closes its connections, and waits for its goroutines.
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

// serve forwards one connection until either side closes it.
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
			// Kafka does not use half-closed connections.
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// parcel is some bytes on their way, and the time at which they arrive.
type parcel struct {
	data []byte
	due  time.Time
}

// onTheWay bounds the parcels on their way in one direction, of at most 64 KiB each. That is
// far more than this machine can forward in half a round trip, so the sender never waits for it.
const onTheWay = 4096

// forward copies in one direction, until reading fails and everything before is written.
// One goroutine reads, while another waits until it is time to write.
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
	// After an error the rest is dropped, because the reading goroutine must not block.
	for sent := range parcels {
		time.Sleep(time.Until(sent.due))
		if !failed {
			_, err := to.Write(sent.data)
			failed = err != nil
		}
	}
}
