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

// produce writes a batch as it is to partition 0 of a topic, whose leader is the broker at
// the address. The topic's leader may not be elected yet: it is asked again.
func produce(ctx context.Context, address, topic string, batch []byte) error {
	for {
		code, err := produceOnce(ctx, address, topic, batch)
		if err != nil || code == 0 {
			return err
		}
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
	answer := make([]byte, min(binary.BigEndian.Uint32(size[:]), 1<<20))
	if _, err := io.ReadFull(c, answer); err != nil {
		return 0, err
	}
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = req.Version
	if err := resp.ReadFrom(answer[min(len(answer), 4):]); err != nil {
		return 0, err
	}
	return resp.Topics[0].Partitions[0].ErrorCode, nil
}

// listener is a server that is no broker.
type listener struct{ net.Listener }

func listen(answer func(net.Conn)) (*listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 1024))
				answer(c)
			}()
		}
	}()
	return &listener{l}, nil
}

func (l *listener) address() string { return l.Addr().String() }

func (l *listener) close() { _ = l.Close() }
