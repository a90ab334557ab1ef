package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produce writes a batch unchanged to partition 0 of a topic. The broker at the address must
// lead it, or become its leader soon: until then produce tries again.
func produce(ctx context.Context, address, topic string, batch []byte) error {
	for {
		code, err := produceOnce(ctx, address, topic, batch)
		if err != nil || code == 0 {
			return err
		}
		// Trying again does not help after other codes, such as for a batch that is too large.
		if code != 3 && code != 5 && code != 6 { // unknown topic, no leader, another leader
			return fmt.Errorf("the broker refused the batch with error code %d", code)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// produceOnce writes the batch once, on a new connection, and returns the broker's error
// code. It does not use a client library, which would not send such a batch.
func produceOnce(ctx context.Context, address, topic string, batch []byte) (code int16, err error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, err
	}
	req := kmsg.NewPtrProduceRequest()
	// Version 7 allows zstd (KIP-110), and has no tagged fields yet.
	req.Version, req.Acks, req.TimeoutMillis = 7, -1, 30_000
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = batch
	of := kmsg.NewProduceRequestTopic()
	of.Topic, of.Partitions = topic, append(of.Partitions, part)
	req.Topics = append(req.Topics, of)
	if _, err := c.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("hostile")).AppendRequest(nil, req, 1)); err != nil {
		return 0, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return 0, err
	}
	// The size comes from the network, so it is bounded.
	answer := make([]byte, min(binary.BigEndian.Uint32(size[:]), 1<<20))
	if _, err := io.ReadFull(c, answer); err != nil {
		return 0, err
	}
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = req.Version
	// The correlation id comes first.
	if err := resp.ReadFrom(answer[min(len(answer), 4):]); err != nil {
		return 0, err
	}
	// The request had one topic and one partition.
	return resp.Topics[0].Partitions[0].ErrorCode, nil
}

// listener is a server in place of a broker.
type listener struct{ net.Listener }

// listen starts a server on a free port of this machine, which calls answer once for each
// connection and then closes the connection. answer may run for several connections
// concurrently. The caller closes the listener.
func listen(answer func(net.Conn)) (*listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	// This goroutine ends when the listener is closed.
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// Each has a goroutine, because a client may open several connections at once.
			go func() {
				defer c.Close()
				// Closing a connection with an unread request would reset it.
				_, _ = c.Read(make([]byte, 1024))
				answer(c)
			}()
		}
	}()
	return &listener{l}, nil
}

// address returns the address of the server, host:port.
func (l *listener) address() string { return l.Addr().String() }

// close stops accepting connections. Open ones end when their clients close them.
func (l *listener) close() { _ = l.Close() }
