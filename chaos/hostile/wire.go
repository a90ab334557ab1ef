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

// produce writes a batch as it is to partition 0 of a topic, whose leader is the
// broker at the address. The topic's leader may not be elected yet: then it asks
// again.
func produce(ctx context.Context, address, topic string, batch []byte) error {
	for {
		code, err := produceOnce(ctx, address, topic, batch)
		if err != nil || code == 0 {
			return err
		}
		// Anything else, such as a record that is too large or damaged, will not change.
		if code != 3 && code != 5 && code != 6 { // unknown topic, no leader, another leader
			return fmt.Errorf("the broker refuses the batch with code %d", code)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// produceOnce writes the batch once, on a connection of its own, and returns the
// broker's error code. A client library would check the batch.
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
	// Version 7 takes zstd (KIP-110) and has no tagged fields.
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
	// The size is the broker's word: it is bounded.
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
	// One topic and one partition were asked for.
	return resp.Topics[0].Partitions[0].ErrorCode, nil
}

// listener is a server that is not a broker.
type listener struct{ net.Listener }

// listen starts a server on a free port of this machine, which answers each
// connection once.
// answer may run for several connections at once, and the connection is closed after it.
func listen(answer func(net.Conn)) (*listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	// It ends when the listener is closed.
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// One goroutine each, because a client may open several connections at once.
			go func() {
				defer c.Close()
				// The request is read, or the client would see a reset.
				_, _ = c.Read(make([]byte, 1024))
				answer(c)
			}()
		}
	}()
	return &listener{l}, nil
}

// address returns host:port.
func (l *listener) address() string { return l.Addr().String() }

// close stops accepting; connections end with their clients.
func (l *listener) close() { _ = l.Close() }
