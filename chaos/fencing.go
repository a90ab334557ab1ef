package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// losesBroker reports whether an action takes a broker away without an orderly
// shutdown. Until the cluster notices no client can go on: that takes the
// broker's session, after the election of a controller if it was the controller.
func (a action) losesBroker() bool {
	return a.verb == killBroker || a.verb == freezeBroker || a.verb == fillDisk
}

// awaitFencing measures how long the cluster takes to depose the broker that a
// takes away, as another client sees it. It gives up when the broker comes
// back.
func (t *stage) awaitFencing(ctx context.Context, a action, from time.Time) {
	within, cancel := context.WithTimeout(ctx, a.lasts)
	defer cancel()
	err := t.cluster.deposed(within, int32(a.target), t.topic.topic(), groupsTopic) //nolint:gosec // small
	took := time.Since(from)
	if err != nil {
		t.say("broker %d was not deposed within %s: %v", a.target, a.lasts, err)
	} else {
		t.say("broker %d was deposed after %s", a.target, took.Round(10*time.Millisecond))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fencing = max(t.fencing, took)
}

// deposed waits until a broker leads no partition of the topics, and no
// partition waits for it to replicate.
func (c *cluster) deposed(ctx context.Context, broker int32, topics ...string) error {
	for {
		err := c.counts(ctx, broker, topics)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond): // nothing tells when it is
		}
	}
}

// counts returns an error while the cluster still counts on a broker, or can't
// be asked.
func (c *cluster) counts(ctx context.Context, broker int32, topics []string) error {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		request.Topics = append(request.Topics, t)
	}
	other := int(broker)%brokerCount + 1
	answer, err := c.client.Broker(other).Request(ctx, request)
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
			if p.Leader == broker || p.Leader < 0 || slices.Contains(p.ISR, broker) {
				return fmt.Errorf("partition %d of %s is led by broker %d, in sync are %v", p.Partition, *t.Topic, p.Leader, p.ISR)
			}
		}
	}
	return nil
}
