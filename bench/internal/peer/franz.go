package peer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// franzPeer is the client that everything is compared with.
var franzPeer = Peer{
	Name: Franz, Module: "github.com/twmb/franz-go", Publishes: true,
	NewPublisher: newFranzPublisher, NewConsumer: newFranzConsumer,
}

// franzPublisher publishes through one client.
// Of outcomes it uses the first failure alone: the client has a bound of its own.
type franzPublisher struct {
	client *kgo.Client
	// promise is shared by all records: a closure for each would be an allocation.
	promise func(*kgo.Record, error)
	outcomes
}

// newFranzPublisher keeps the client's defaults: idempotent, acks=all, up to
// 1 MB a batch. Where callers wait, its linger of 10 ms would be the latency:
// the documentation of ProducerLinger calls 0 the setting for that.
func newFranzPublisher(_ context.Context, s Settings) (Publisher, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(s.Brokers...),
		kgo.DefaultProduceTopic(s.Topic()),
		kgo.ProducerBatchCompression(franzCompression(s.Compression)),
	}
	if s.Publishers > 0 || s.Prompt {
		options = append(options, kgo.ProducerLinger(0))
	} else {
		// Produce waits at this bound, so outcomes needs no room here.
		options = append(options, kgo.MaxBufferedRecords(s.Window))
	}
	if s.BatchBytes > 0 {
		options = append(options, kgo.ProducerBatchMaxBytes(int32(s.BatchBytes))) //nolint:gosec // some KiB
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	p := &franzPublisher{client: client}
	// After p exists, as it refers to p.
	p.promise = func(_ *kgo.Record, err error) { p.fail(err) }
	return p, nil
}

// franzCompression returns the client's codec of a name.
func franzCompression(name string) kgo.CompressionCodec {
	switch name {
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

// franzRecord returns the record of an order.
func franzRecord(o event.Order) (*kgo.Record, error) {
	data, err := encode(o)
	if err != nil {
		return nil, err
	}
	id, now := event.Attributes()
	return &kgo.Record{
		Key:   []byte(o.Customer),
		Value: data,
		Headers: []kgo.RecordHeader{
			{Key: keySpecVersion, Value: valueSpecVersion},
			{Key: keyID, Value: id},
			{Key: keySource, Value: valueSource},
			{Key: keyType, Value: valueType},
			{Key: keyTime, Value: now},
			{Key: keyContentType, Value: valueContentType},
		},
	}, nil
}

// Publish waits for the acknowledgement.
func (p *franzPublisher) Publish(ctx context.Context, o event.Order) error {
	r, err := franzRecord(o)
	if err != nil {
		return err
	}
	return p.client.ProduceSync(ctx, r).FirstErr()
}

// Enqueue waits inside the client, which bounds its buffer by Window.
func (p *franzPublisher) Enqueue(ctx context.Context, o event.Order) error {
	r, err := franzRecord(o)
	if err != nil {
		return err
	}
	p.client.Produce(ctx, r, p.promise)
	return nil
}

// Flush returns the first failure of what was enqueued.
func (p *franzPublisher) Flush(ctx context.Context) error {
	return errors.Join(p.client.Flush(ctx), p.firstErr())
}

// Close ends the client.
func (p *franzPublisher) Close(context.Context) error {
	p.client.Close()
	return nil
}

// franzConsumer is the project's example of a goroutine per partition with marked
// auto-commits.
type franzConsumer struct {
	client  *kgo.Client
	handle  Handler
	cancel  context.CancelFunc
	polling sync.WaitGroup
	outcomes

	// mu guards partitions.
	mu sync.Mutex
	// partitions has those that are assigned.
	partitions map[int32]*franzPartition
}

// franzPartition is the goroutine of one partition.
type franzPartition struct {
	// batches has what was polled; quit asks the goroutine to end, and ended says
	// that it did.
	batches chan []*kgo.Record
	quit    chan struct{}
	ended   chan struct{}
}

// newFranzConsumer marks and auto-commits, so that only handled records are
// committed.
func newFranzConsumer(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
	c := &franzConsumer{handle: handle, partitions: make(map[int32]*franzPartition)}
	// The client may rebalance only between AllowRebalance and the next poll: what was polled
	// is of partitions that are still this member's. Lost partitions are another member's
	// already, so nothing of them is committed.
	options := []kgo.Opt{
		kgo.SeedBrokers(s.Brokers...),
		kgo.ConsumerGroup(s.Group),
		kgo.ConsumeTopics(s.Topic()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxBytes(FetchBytes),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(CommitInterval),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(c.assigned),
		kgo.OnPartitionsRevoked(c.revoked),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { c.stop(lost) }),
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	c.client = client
	// The consumer outlives the context of the call.
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.polling.Go(func() { c.poll(ctx) })
	return c, nil
}

// poll hands what it polled to the partitions' goroutines.
func (c *franzConsumer) poll(ctx context.Context) {
	for {
		// The bound keeps a rebalance from waiting for long, as it can't begin before all of
		// these records are handed over.
		fetches := c.client.PollRecords(ctx, 10000)
		// The last poll has blocked rebalances as well, and Close will leave the group.
		if ctx.Err() != nil || fetches.IsClientClosed() {
			c.client.AllowRebalance()
			return
		}
		// Errors that the client retries don't come here.
		fetches.EachError(func(_ string, _ int32, err error) { c.fail(err) })
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			c.mu.Lock()
			p := c.partitions[f.Partition]
			c.mu.Unlock()
			if p == nil {
				// This is an error of the client, not of a partition.
				return
			}
			select {
			// A partition that is behind holds the poll up, which bounds what is kept in memory.
			case p.batches <- f.Records:
			case <-p.quit:
			case <-ctx.Done():
			}
		})
		c.client.AllowRebalance()
	}
}

// assigned starts a goroutine for each partition.
// It takes the client from its arguments: it may be called before c.client is set.
func (c *franzConsumer) assigned(_ context.Context, client *kgo.Client, assigned map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, partitions := range assigned {
		for _, number := range partitions {
			p := &franzPartition{batches: make(chan []*kgo.Record, 5), quit: make(chan struct{}), ended: make(chan struct{})}
			c.partitions[number] = p
			go p.run(client, c)
		}
	}
}

// revoked ends the goroutines and commits what they handled, before another member
// reads on.
func (c *franzConsumer) revoked(ctx context.Context, client *kgo.Client, revoked map[string][]int32) {
	// First everything that was handled is marked.
	c.stop(revoked)
	if err := client.CommitMarkedOffsets(ctx); err != nil {
		c.fail(err)
	}
}

// stop ends the goroutines of partitions, all at once, and waits for them.
func (c *franzConsumer) stop(gone map[string][]int32) {
	c.mu.Lock()
	var ending []*franzPartition
	for _, partitions := range gone {
		for _, number := range partitions {
			if p := c.partitions[number]; p != nil {
				ending = append(ending, p)
				delete(c.partitions, number)
			}
		}
	}
	c.mu.Unlock()
	// Without the lock, since a handler may take long.
	for _, p := range ending {
		// All are asked before one is awaited, so that their last batches end side by side.
		close(p.quit)
	}
	for _, p := range ending {
		<-p.ended
	}
}

// run handles batches until the partition is gone.
func (p *franzPartition) run(client *kgo.Client, c *franzConsumer) {
	defer close(p.ended)
	for {
		select {
		case <-p.quit:
			return
		case records := <-p.batches:
			for _, r := range records {
				if err := decode(franzType(r), r.Value, c.handle); err != nil {
					c.fail(err)
				}
			}
			// After the whole batch: what was not handled is never marked.
			client.MarkCommitRecords(records...)
		}
	}
}

// franzType returns the event's type, empty if the header is missing.
func franzType(r *kgo.Record) string {
	for i := range r.Headers {
		if r.Headers[i].Key == keyType {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}

// Close commits what was handled and leaves the group.
func (c *franzConsumer) Close(ctx context.Context) error {
	c.cancel()
	c.polling.Wait()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	// What was marked since the last commit of the interval.
	err := c.client.CommitMarkedOffsets(ctx)
	c.client.CloseAllowingRebalance()
	return errors.Join(err, c.firstErr())
}
