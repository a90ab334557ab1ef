package memory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// bubble runs a test on a cluster with a topic "t", in a synctest bubble: after
// synctest.Wait everything that can happen has happened.
func bubble(t *testing.T, partitions int32, test func(t *testing.T, c *memory.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := memory.New(memory.DefaultPartitions(partitions))
		t.Cleanup(func() { check(t, c.Close(context.Background())) })
		create(t, c, "t")
		test(t, c)
	})
}

func create(t *testing.T, c *memory.Cluster, topic string) {
	t.Helper()
	check(t, c.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: topic}))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// outcomes is a completion that records the offset or the error of each record.
type outcomes []string

func (o *outcomes) Done(p transport.Position, err error) {
	if err != nil {
		*o = append(*o, err.Error())
		return
	}
	*o = append(*o, fmt.Sprint(p.Offset))
}

func producer(t *testing.T, c *memory.Cluster, config transport.ProducerConfig) transport.Producer {
	t.Helper()
	p, err := c.NewProducer(config)
	check(t, err)
	return p
}

// write produces values to one partition of "t".
func write(t *testing.T, p transport.Producer, partition int32, heard *outcomes, values ...string) {
	t.Helper()
	for _, v := range values {
		check(t, p.Produce(t.Context(), &transport.Record{Topic: "t", Partition: partition, Key: []byte(v), Value: []byte(v)}, heard))
	}
}

// values returns the values of a topic, in the order in which they were appended.
func values(c *memory.Cluster) string {
	var values []string
	for _, r := range c.Records("t") {
		values = append(values, string(r.Value))
	}
	return strings.Join(values, " ")
}

// client is a consumer of "t", and what its Listener heard, a line per call.
type client struct {
	transport.Consumer
	t       *testing.T
	revoked func(context.Context)

	mu     sync.Mutex
	heard  []string
	epochs map[int32]uint64
}

func consumer(t *testing.T, c *memory.Cluster, options ...func(*transport.ConsumerConfig)) *client {
	t.Helper()
	m := &client{t: t, epochs: make(map[int32]uint64)}
	config := transport.ConsumerConfig{Group: "g", Topics: []transport.TopicStart{{Topic: "t"}}, Listener: m}
	for _, o := range options {
		o(&config)
	}
	var err error
	m.Consumer, err = c.NewConsumer(config)
	check(t, err)
	synctest.Wait()
	return m
}

func (m *client) Assigned(assigned []transport.Assignment) {
	line := "assigned"
	for _, a := range assigned {
		m.mu.Lock()
		m.epochs[a.Partition.Partition] = a.Epoch
		m.mu.Unlock()
		line += fmt.Sprintf(" %d@%d", a.Partition.Partition, a.Offset)
	}
	m.note(line)
}

func (m *client) note(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, line)
}

// epoch returns the epoch of the last assignment of a partition.
func (m *client) epoch(partition int32) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epochs[partition]
}

func (m *client) Revoked(ctx context.Context, revoked []transport.Partition) {
	m.note("revoked" + numbers(revoked))
	if m.revoked != nil {
		m.revoked(ctx)
	}
}

func (m *client) Lost(lost []transport.Partition) {
	m.note("lost" + numbers(lost))
}

func (m *client) Skipped(p transport.Partition, from, to int64, reason error) {
	m.note(fmt.Sprintf("skipped %d from %d to %d: %v", p.Partition, from, to, reason))
}

func numbers(partitions []transport.Partition) string {
	var b strings.Builder
	for _, p := range partitions {
		fmt.Fprintf(&b, " %d", p.Partition)
	}
	return b.String()
}

// hears checks what the Listener heard since the last time.
func (m *client) hears(want ...string) {
	m.t.Helper()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(m.heard, want) {
		m.t.Errorf("the Listener heard\n\t%s\nwant\n\t%s", strings.Join(m.heard, "\n\t"), strings.Join(want, "\n\t"))
	}
	m.heard = nil
}

// commit commits an offset of a partition with its current epoch.
func (m *client) commit(partition int32, offset int64, metadata string) error {
	return m.commitAs(m.epoch(partition), partition, offset, metadata)
}

func (m *client) commitAs(epoch uint64, partition int32, offset int64, metadata string) error {
	return m.Commit(m.t.Context(), transport.Commit{
		Partition: transport.Partition{Topic: "t", Partition: partition},
		Epoch:     epoch, Offset: offset, LeaderEpoch: -1, Metadata: metadata,
	})
}

// gets checks the values that can be polled now, from all partitions.
func (m *client) gets(want string) {
	m.t.Helper()
	var got []string
	for {
		ctx, cancel := context.WithCancel(m.t.Context())
		batches := make(chan []transport.Batch, 1)
		go func() {
			b, err := m.Poll(ctx)
			if err != nil && !errors.Is(err, context.Canceled) {
				m.t.Errorf("Poll: %v", err)
			}
			batches <- b
		}()
		synctest.Wait()
		cancel()
		polled := <-batches
		if len(polled) == 0 {
			break
		}
		for _, b := range polled {
			for _, r := range b.Records {
				got = append(got, string(r.Value))
			}
		}
	}
	equal(m.t, "records", strings.Join(got, " "), want)
}

// committed returns the group's committed offset of a partition, −1 if it has none.
func committed(c *memory.Cluster, partition int32) int64 {
	if commit, has := c.Committed("g")[transport.Partition{Topic: "t", Partition: partition}]; has {
		return commit.Offset
	}
	return -1
}
