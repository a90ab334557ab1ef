package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Deposed waits until a broker leads no partition of the topics, and no partition waits for it to
// replicate. When ctx ends first, it returns the last reason why that is not so.
func (c *Cluster) Deposed(ctx context.Context, broker int32, topics ...string) error {
	for {
		err := c.counts(ctx, broker, topics)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond): // nothing signals it
		}
	}
}

// counts returns an error while the cluster still counts on a broker, or can't
// be asked.
// It describes the first partition that it finds.
func (c *Cluster) counts(ctx context.Context, broker int32, topics []string) error {
	// Give up a request that is not answered soon; the caller asks again.
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		request.Topics = append(request.Topics, t)
	}
	// The broker itself may be frozen, and would count itself in.
	other := int(broker)%Brokers + 1
	answer, err := c.Client.Broker(other).Request(ctx, request)
	if err != nil {
		return err
	}
	response, ok := answer.(*kmsg.MetadataResponse)
	if !ok {
		return fmt.Errorf("broker %d answers with %T", other, answer)
	}
	for i := range response.Topics {
		t := &response.Topics[i]
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return err
		}
		for _, p := range t.Partitions {
			// While the broker is in sync, acks=all waits for it; without a leader nothing is written
			// either. What partitions stand still for until then is the cluster's doing.
			if p.Leader == broker || p.Leader < 0 || slices.Contains(p.ISR, broker) {
				return fmt.Errorf("partition %d of %s is led by broker %d, in sync are %v", p.Partition, *t.Topic, p.Leader, p.ISR)
			}
		}
	}
	return nil
}
