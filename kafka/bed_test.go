package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// bed is a broker that runs in this process, on a network that a test can cut,
// and a Transport on it.
type bed struct {
	*kfake.Cluster
	t         testing.TB
	wires     *wires
	transport *Transport
}

// newBed starts brokers on loopback, with topic "events" of so many partitions.
// In a synctest bubble use newBubble.
func newBed(t testing.TB, partitions int32, opts ...kfake.Opt) *bed {
	t.Helper()
	w := &wires{dial: (&net.Dialer{}).DialContext}
	return startBed(t, w, append(opts, kfake.SeedTopics(partitions, "events")))
}

// newBubble is newBed on a network in memory, for a synctest bubble.
func newBubble(t testing.TB, partitions int32, opts ...kfake.Opt) *bed {
	t.Helper()
	network := &kfake.VirtualNetwork{}
	w := &wires{dial: network.DialContext}
	opts = append([]kfake.Opt{kfake.ListenFn(network.Listen), kfake.NumBrokers(1), kfake.Ports(9092)}, opts...)
	return startBed(t, w, append(opts, kfake.SeedTopics(partitions, "events")))
}

func startBed(t testing.TB, w *wires, opts []kfake.Opt) *bed {
	t.Helper()
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	tr := New(Config{Brokers: cluster.ListenAddrs(), Dial: w.DialContext})
	t.Cleanup(func() {
		_ = tr.Close(context.Background())
		cluster.Close()
	})
	return &bed{Cluster: cluster, t: t, wires: w, transport: tr}
}

// producer returns a producer that is closed with the test.
func (b *bed) producer(cfg transport.ProducerConfig) *Producer {
	b.t.Helper()
	p, err := b.transport.NewProducer(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p.(*Producer)
}

// publish produces a record to a partition of "events" and returns its receipt.
func (b *bed) publish(p *Producer, partition int32, value string) receipt {
	b.t.Helper()
	done := make(receipt, 1)
	r := &transport.Record{Topic: "events", Partition: partition, Value: []byte(value)}
	if err := p.Produce(context.Background(), r, done); err != nil {
		b.t.Fatalf("Produce %q: %v", value, err)
	}
	return done
}

// wait returns the outcome, which must come within a minute.
func (b *bed) wait(done receipt) error {
	b.t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		b.t.Fatal("no outcome after a minute")
		return nil
	}
}

// delivered fails the test unless the record was delivered.
func (b *bed) delivered(done receipt) {
	b.t.Helper()
	if err := b.wait(done); err != nil {
		b.t.Fatalf("not delivered: %v", err)
	}
}

// log reads the values of a partition of "events", with a codec that is not ours.
func (b *bed) log(partition int32) []string {
	b.t.Helper()
	values := []string{}
	for offset := int64(0); ; {
		req := kmsg.NewPtrFetchRequest()
		req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 0, 0, 64<<20
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = "events"
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, 64<<20
		topic.Partitions = append(topic.Partitions, part)
		req.Topics = append(req.Topics, topic)
		resp, err := b.transport.client.request(context.Background(), b.LeaderFor("events", partition), req)
		if err != nil {
			b.t.Fatal(err)
		}
		got := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if got.ErrorCode != 0 {
			b.t.Fatal(Error(got.ErrorCode))
		}
		if len(got.RecordBatches) == 0 {
			return values
		}
		for data := got.RecordBatches; len(data) > 0; {
			batch, records, rest := decodeBatch(b.t, data)
			for _, r := range records {
				values = append(values, string(r.Value))
			}
			offset = batch.FirstOffset + int64(batch.LastOffsetDelta) + 1
			data = rest
		}
	}
}

// decodeBatch decodes the batch that data begins with.
func decodeBatch(t testing.TB, data []byte) (batch kmsg.RecordBatch, records []kmsg.Record, rest []byte) {
	t.Helper()
	size := 12 + int(binary.BigEndian.Uint32(data[8:]))
	if err := batch.ReadFrom(data[:size]); err != nil {
		t.Fatal(err)
	}
	if err := checkBatch(data[:size]); err != nil {
		t.Fatal(err)
	}
	content := batch.Records
	if codec := batch.Attributes & 7; codec != 0 {
		plain, err := decompress(codec, content)
		if err != nil {
			t.Fatal(err)
		}
		content = plain.b
	}
	for range batch.NumRecords {
		length, n := binary.Varint(content)
		var r kmsg.Record
		if err := r.ReadFrom(content[:n+int(length)]); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
		content = content[n+int(length):]
	}
	if len(content) > 0 {
		t.Fatalf("%d bytes behind the last record", len(content))
	}
	return batch, records, data[size:]
}

// wires makes the connections of a Transport, and cuts them.
type wires struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	down  map[string]bool
	conns map[*wire]bool
	// cut, if not nil, is asked when a response begins to come in; true closes
	// the connection instead.
	cut func(response []byte) bool
}

var errDown = errors.New("the test has this broker down")

func (w *wires) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	down := w.down[address]
	w.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errDown}
	}
	c, err := w.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := &wire{Conn: c, wires: w, address: address}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		w.conns = make(map[*wire]bool)
	}
	w.conns[conn] = true
	return conn, nil
}

// onResponse sets cut.
func (w *wires) onResponse(cut func([]byte) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
}

// setDown cuts or mends what leads to an address.
func (w *wires) setDown(address string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down == nil {
		w.down = make(map[string]bool)
	}
	w.down[address] = down
	for c := range w.conns {
		if down && c.address == address {
			_ = c.Conn.Close()
			delete(w.conns, c)
		}
	}
}

type wire struct {
	net.Conn
	wires   *wires
	address string
}

func (c *wire) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wires.mu.Lock()
	cut := c.wires.cut
	c.wires.mu.Unlock()
	if n > 0 && cut != nil && cut(b[:n]) {
		_ = c.Conn.Close()
		return 0, fmt.Errorf("cut by the test: %w", net.ErrClosed)
	}
	return n, err
}
