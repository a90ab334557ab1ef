package peer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// franzPeer is franz-go, the client with which the bus is compared on every workload.
var franzPeer = Peer{
	Name: Franz, Module: "github.com/twmb/franz-go", Publishes: true,
	NewPublisher: newFranzPublisher, NewConsumer: newFranzConsumer,
}

// franzPublisher publishes through one client. It uses outcomes only for the first failure,
// since the client bounds its own buffer.
type franzPublisher struct {
	client *kgo.Client
	// promise is shared by all records, since a closure for each would be an allocation.
	promise func(*kgo.Record, error)
	outcomes
}

// newFranzPublisher keeps the client's defaults: idempotent, acks=all, and batches of up to
// 1 MB unless the settings bound them. Its linger of 10 ms is off for callers that wait and
// for low latency, as it would be most of the latency of Produce.
func newFranzPublisher(_ context.Context, s Settings) (Publisher, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(s.Brokers...),
		kgo.DefaultProduceTopic(s.Topic()),
		kgo.ProducerBatchCompression(franzCompression(s.Compression)),
	}
	if s.Publishers > 0 || s.Prompt {
		options = append(options, kgo.ProducerLinger(0))
	} else {
		// Produce waits at this bound, so outcomes needs no room.
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
	// The promise refers to p, so it is set once p exists.
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

// franzRecord returns the record for an order, with the headers of the binary mode.
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

// Enqueue returns once the client has buffered the record. The client waits while its
// buffer is full. Failures are returned by Flush.
func (p *franzPublisher) Enqueue(ctx context.Context, o event.Order) error {
	r, err := franzRecord(o)
	if err != nil {
		return err
	}
	p.client.Produce(ctx, r, p.promise)
	return nil
}

// Flush waits for the outcomes of enqueued events, and returns the first failure.
func (p *franzPublisher) Flush(ctx context.Context) error {
	return errors.Join(p.client.Flush(ctx), p.firstErr())
}

// Close closes the client.
func (p *franzPublisher) Close(context.Context) error {
	p.client.Close()
	return nil
}

// franzConsumer follows franz-go's example with a goroutine per partition and marked
// auto-commits. It uses outcomes only for the first failure.
type franzConsumer struct {
	client  *kgo.Client
	handle  Handler
	cancel  context.CancelFunc
	polling sync.WaitGroup
	outcomes

	// mu guards partitions.
	mu sync.Mutex
	// partitions has the assigned partitions of the topic, by number.
	partitions map[int32]*franzPartition
}

// franzPartition is a goroutine that handles the records of one partition.
type franzPartition struct {
	// batches has polled records. Closing quit asks the goroutine to end, which closes ended.
	batches chan []*kgo.Record
	quit    chan struct{}
	ended   chan struct{}
}

// newFranzConsumer starts a consumer that commits marked records automatically, so that
// only handled records are committed.
func newFranzConsumer(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
	c := &franzConsumer{handle: handle, partitions: make(map[int32]*franzPartition)}
	// The client may rebalance only between AllowRebalance and the next poll, so polled
	// records belong to partitions that this member still owns. Lost partitions may have
	// another owner already, so nothing is committed for them.
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
	// The consumer outlives the context of this call.
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.polling.Go(func() { c.poll(ctx) })
	return c, nil
}

// poll passes records to the goroutines of their partitions until ctx ends.
func (c *franzConsumer) poll(ctx context.Context) {
	for {
		// A rebalance waits until all of these records are passed on, so their number is bounded.
		fetches := c.client.PollRecords(ctx, 10000)
		// This poll has blocked rebalances too, and Close could not leave the group.
		if ctx.Err() != nil || fetches.IsClientClosed() {
			c.client.AllowRebalance()
			return
		}
		// The client does not report errors after which it retries.
		fetches.EachError(func(_ string, _ int32, err error) { c.fail(err) })
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			c.mu.Lock()
			p := c.partitions[f.Partition]
			c.mu.Unlock()
			if p == nil {
				// The client reports its own errors in a partition -1, which has no records.
				return
			}
			select {
			// A partition that is behind makes the poll wait, which bounds the records in memory.
			case p.batches <- f.Records:
			case <-p.quit:
			case <-ctx.Done():
			}
		})
		c.client.AllowRebalance()
	}
}

// assigned starts a goroutine for each new partition. It passes on the client of its
// arguments, because it may be called before c.client is set.
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

// revoked stops the goroutines of partitions and commits what they have handled, before
// another member continues there.
func (c *franzConsumer) revoked(ctx context.Context, client *kgo.Client, revoked map[string][]int32) {
	// The goroutines mark their last records before they end.
	c.stop(revoked)
	if err := client.CommitMarkedOffsets(ctx); err != nil {
		c.fail(err)
	}
}

// stop stops the goroutines of partitions and waits for them.
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
	// The lock is released, since a handler may take long. All goroutines are asked to end
	// before the first is waited for, so that they finish their batches concurrently.
	for _, p := range ending {
		close(p.quit)
	}
	for _, p := range ending {
		<-p.ended
	}
}

// run handles batches until quit is closed. A batch that has begun is finished.
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
			// Records are marked only once they are handled.
			client.MarkCommitRecords(records...)
		}
	}
}

// franzType returns the event's type, or "" if the header is missing.
func franzType(r *kgo.Record) string {
	for i := range r.Headers {
		if r.Headers[i].Key == keyType {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}

// Close stops polling, commits what was handled and leaves the group, within ten seconds for
// the first commit.
func (c *franzConsumer) Close(ctx context.Context) error {
	c.cancel()
	c.polling.Wait()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	// Records may have been marked since the last automatic commit.
	err := c.client.CommitMarkedOffsets(ctx)
	c.client.CloseAllowingRebalance()
	return errors.Join(err, c.firstErr())
}
