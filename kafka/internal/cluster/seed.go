package cluster

import (
	"context"
	"net"
	"strings"
	"time"
)

// seedNetwork is the network for which kafka-go dials a bootstrap address. It tells dial that
// any broker of the cluster will do.
const seedNetwork = "seed"

// seeds are the bootstrap addresses in kafka-go's form: networks and addresses, separated by
// commas.
type seeds []string

// Network returns seedNetwork once for each address.
func (s seeds) Network() string {
	return strings.TrimSuffix(strings.Repeat(seedNetwork+",", len(s)), ",")
}

// String returns the addresses.
func (s seeds) String() string { return strings.Join(s, ",") }

// dialSeed connects to a bootstrap address, or to a broker that the cluster was last known to
// have, and returns the address. kafka-go asks only bootstrap addresses for the brokers, but
// once brokers have been replaced one by one, none of these may be left (KIP-899).
//
// Addresses are tried one after another, the next as soon as one fails or has been silent for a
// while. The bootstrap address comes first, unless setting up a connection to it failed the
// last time.
func (c *Client) dialSeed(ctx context.Context, seed string) (net.Conn, string, error) {
	// Dialing slow addresses continues in the background, so that the first to answer serves.
	type dialled struct {
		conn net.Conn
		addr string
		err  error
	}
	addrs := c.candidates(seed)
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan dialled, len(addrs))
	begun, waiting := 0, 0
	next := func() {
		addr := addrs[begun]
		begun++
		waiting++
		go func() {
			conn, err := c.dialOne(ctx, addr)
			results <- dialled{conn, addr, err}
		}()
	}
	// Connections after the first are closed. Dialing ends with ctx, so this ends soon.
	defer func() {
		cancel()
		go func(waiting int) {
			for range waiting {
				if late := <-results; late.conn != nil {
					_ = late.conn.Close()
				}
			}
		}(waiting)
	}()
	next()
	timer := time.NewTimer(silence)
	defer timer.Stop()
	var first error
	for waiting > 0 {
		select {
		case <-timer.C:
		case r := <-results:
			waiting--
			if r.err == nil {
				return r.conn, r.addr, nil
			}
			// The bootstrap address is the configured one, so return its error.
			if first == nil || r.addr == seed {
				first = r.err
			}
		}
		if begun < len(addrs) && ctx.Err() == nil {
			next()
			timer.Reset(silence)
		}
	}
	return nil, seed, first
}

// candidates returns the addresses to dial for a bootstrap address, each once.
func (c *Client) candidates(seed string) []string {
	addrs := []string{seed}
	for _, id := range c.metadata.brokerIDs() {
		if b, ok := c.metadata.broker(id); ok && address(b) != seed {
			addrs = append(addrs, address(b))
		}
	}
	c.mu.Lock()
	failed := c.setupErrors[seed] != nil
	c.mu.Unlock()
	if failed && len(addrs) > 1 {
		addrs = append(addrs[1:], seed)
	}
	return addrs
}
