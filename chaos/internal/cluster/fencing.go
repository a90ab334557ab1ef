package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Deposed waits until a broker leads no partition of the topics and is in sync in none, so that no
// write waits for it. If ctx ends before, Deposed returns the last reason why that is not so.
func (c *Cluster) Deposed(ctx context.Context, broker int32, topics ...string) error {
	for {
		err := c.counts(ctx, broker, topics)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond): // nothing signals the change
		}
	}
}

// counts returns nil if the cluster no longer counts on a broker. Otherwise the error describes
// the first partition that does, or says why the cluster can't be asked.
func (c *Cluster) counts(ctx context.Context, broker int32, topics []string) error {
	// The caller tries again, so a request that is not answered soon is given up.
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		request.Topics = append(request.Topics, t)
	}
	// The broker itself may be frozen, or still take itself for a leader.
	other := int(broker)%Brokers + 1
	answer, err := c.Client.Broker(other).Request(ctx, request)
	if err != nil {
		return err
	}
	response, ok := answer.(*kmsg.MetadataResponse)
	if !ok {
		return fmt.Errorf("broker %d answered with %T", other, answer)
	}
	for i := range response.Topics {
		t := &response.Topics[i]
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return err
		}
		for _, p := range t.Partitions {
			// With acks=all a write waits for every broker in sync, and without a leader nothing can be
			// written. Until that has changed, a standstill is not the fault of the library.
			if p.Leader == broker || p.Leader < 0 || slices.Contains(p.ISR, broker) {
				return fmt.Errorf("partition %d of %s has leader %d and in-sync replicas %v", p.Partition, *t.Topic, p.Leader, p.ISR)
			}
		}
	}
	return nil
}
