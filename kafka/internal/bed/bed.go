package bed

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
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Bed is a broker that runs in this process, on a network that a test can cut,
// and a Transport on it.
type Bed struct {
	*kfake.Cluster
	// T is the test that the bed belongs to: its helpers fail it.
	T testing.TB
	// Wires makes clients' connections; it is for Options.Dial.
	Wires *wires
	// made has what Shared returned, by name. It belongs to the test's goroutine.
	made map[string]any
}

// Shared returns the value of a name, created by create on first use: a package's tests
// keep one client per bed, whose package bed itself must not import.
func (b *Bed) Shared(name string, create func() any) any {
	if b.made[name] == nil {
		b.made[name] = create()
	}
	return b.made[name]
}

// NewBed starts brokers on loopback, with a topic "events" of the given partitions. In a
// synctest bubble use NewBubble.
func NewBed(t testing.TB, partitions int32, opts ...kfake.Opt) *Bed {
	t.Helper()
	// Loopback, for tests that take real time.
	w := &wires{Dial: (&net.Dialer{}).DialContext}
	return startBed(t, w, append(opts, kfake.SeedTopics(partitions, "events")))
}

// NewBubble is NewBed on a network in memory, for a synctest bubble. It has one broker,
// unless opts say otherwise, at a fixed port.
func NewBubble(t testing.TB, partitions int32, opts ...kfake.Opt) *Bed {
	t.Helper()
	network := &kfake.VirtualNetwork{}
	w := &wires{Dial: network.DialContext}
	opts = append([]kfake.Opt{kfake.ListenFn(network.Listen), kfake.NumBrokers(1), kfake.Ports(9092)}, opts...)
	return startBed(t, w, append(opts, kfake.SeedTopics(partitions, "events")))
}

// startBed starts the brokers. They end with the test, after everything that was created
// on the bed.
func startBed(t testing.TB, w *wires, opts []kfake.Opt) *Bed {
	t.Helper()
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return &Bed{Cluster: cluster, T: t, Wires: w, made: map[string]any{}}
}

// Publish produces a record to a partition of "events" and returns its receipt. It fails
// the test if the record is not accepted.
func (b *Bed) Publish(p transport.Producer, partition int32, value string) Receipt {
	b.T.Helper()
	done := make(Receipt, 1)
	r := &transport.Record{Topic: "events", Partition: partition, Value: []byte(value)}
	if err := p.Produce(context.Background(), r, done); err != nil {
		b.T.Fatalf("Produce %q: %v", value, err)
	}
	return done
}

// Wait returns the outcome, which must come within a minute.
func (b *Bed) Wait(done Receipt) error {
	b.T.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		b.T.Fatal("no outcome after a minute")
		return nil
	}
}

// Delivered waits as Wait does, and fails the test unless the record was delivered.
func (b *Bed) Delivered(done Receipt) {
	b.T.Helper()
	if err := b.Wait(done); err != nil {
		b.T.Fatalf("not delivered: %v", err)
	}
}

// Log reads the values of a partition of "events" from its first offset to its end, with a
// foreign codec.
func (b *Bed) Log(partition int32) []string {
	b.T.Helper()
	values := []string{}
	client := b.foreignClient(kgo.MaxVersions(kversion.V3_0_0())) // names topics, as the request does
	defer client.Close()
	// Repeat the fetch until it returns nothing, since its size is bounded.
	for offset := int64(0); ; {
		req := kmsg.NewPtrFetchRequest()
		req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 0, 0, 64<<20
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = "events"
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, 64<<20
		topic.Partitions = append(topic.Partitions, part)
		req.Topics = append(req.Topics, topic)
		resp, err := client.Broker(int(b.LeaderFor("events", partition))).RetriableRequest(context.Background(), req)
		if err != nil {
			b.T.Fatal(err)
		}
		// The request asked for one topic and one partition.
		got := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if got.ErrorCode != 0 {
			b.T.Fatal(kerr.Error(got.ErrorCode))
		}
		if len(got.RecordBatches) == 0 {
			return values
		}
		for data := got.RecordBatches; len(data) > 0; {
			decoded, records, rest := DecodeBatch(b.T, data)
			for _, r := range records {
				values = append(values, string(r.Value))
			}
			offset = decoded.FirstOffset + int64(decoded.LastOffsetDelta) + 1
			data = rest
		}
	}
}

// DecodeBatch decodes the batch at the start of data, and returns the rest. It fails the
// test if the checksum is wrong or the batch contains more than it says.
func DecodeBatch(t testing.TB, data []byte) (decoded kmsg.RecordBatch, records []kmsg.Record, rest []byte) {
	t.Helper()
	size := 12 + int(binary.BigEndian.Uint32(data[8:]))
	if err := decoded.ReadFrom(data[:size]); err != nil {
		t.Fatal(err)
	}
	if err := batch.Check(data[:size]); err != nil {
		t.Fatal(err)
	}
	content := decoded.Records
	if codec := decoded.Attributes & 7; codec != 0 {
		var err error
		if content, err = batch.Decompress(codec, content); err != nil {
			t.Fatal(err)
		}
	}
	// Each record is preceded by its length, which does not include itself.
	for range decoded.NumRecords {
		length, n := binary.Varint(content)
		var r kmsg.Record
		if err := r.ReadFrom(content[:n+int(length)]); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
		content = content[n+int(length):]
	}
	if len(content) > 0 {
		t.Fatalf("%d bytes after the last record", len(content))
	}
	return decoded, records, data[size:]
}

// wires makes the connections of a Transport, and cuts them. It is safe for concurrent
// use, as a test cuts while the Transport works.
type wires struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// mu guards the fields below. down has the addresses that refuse connections; hang
	// makes every dial wait; conns are the open ones.
	mu    sync.Mutex
	down  map[string]bool
	hang  bool
	conns map[*wire]bool
	// cut, if not nil, is called for each piece that is read; if it returns true the
	// connection is closed.
	cut func(response []byte) bool
}

// ErrDown is the cause of a failed connection to an address that is down.
var ErrDown = errors.New("the test has this broker down")

// DialContext connects to an address, unless the test has set it down or lets dials hang.
func (w *wires) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	// Both are read before dialling: a test that changes them meanwhile closes the open
	// connections, not the one being made.
	down, hang := w.down[address], w.hang
	w.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: ErrDown}
	}
	c, err := w.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	// Register it, so that Hang and SetDown find it.
	conn := &wire{Conn: c, wires: w, address: address}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		w.conns = make(map[*wire]bool)
	}
	w.conns[conn] = true
	return conn, nil
}

// OnResponse sets the function that is called for every piece that any connection reads,
// and that returns whether to cut the connection; nil cuts nothing.
func (w *wires) OnResponse(cut func([]byte) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
}

// Hang cuts all connections, and lets attempts to make others hang until their
// context ends.
func (w *wires) Hang() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hang = true
	for c := range w.conns {
		_ = c.Conn.Close()
		delete(w.conns, c)
	}
}

// SetDown makes an address refuse connections, or accept them again. Open connections are
// closed, as by a firewall that answers; see Hang for one that does not.
func (w *wires) SetDown(address string, down bool) {
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

// wire is one connection, with its address.
type wire struct {
	net.Conn
	wires   *wires
	address string
}

// Read reads, and cuts the connection if the test says so. A client can't distinguish a
// response that is cut from one that was never sent.
func (c *wire) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wires.mu.Lock()
	cut := c.wires.cut
	c.wires.mu.Unlock()
	// Without mu, since cut is the test's and may block.
	if n > 0 && cut != nil && cut(b[:n]) {
		_ = c.Conn.Close()
		return 0, fmt.Errorf("cut by the test: %w", net.ErrClosed)
	}
	return n, err
}

// foreignClient returns another library's client, whose codec can't share a mistake with
// ours. The caller closes it.
func (b *Bed) foreignClient(opts ...kgo.Opt) *kgo.Client {
	b.T.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.ListenAddrs()...), kgo.Dialer(b.Wires.DialContext))...)
	if err != nil {
		b.T.Fatal(err)
	}
	return client
}
