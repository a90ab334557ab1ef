package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// standIn is the id of the broker that takes another's place. The script uses the next free id,
// which is this one as long as at most one broker is added at a time.
const standIn = Brokers + 1

// Replace replaces a broker by a new one with another id and address, which no client knows: the
// new broker gets all replicas of the old one, and the old one stops. It requires Kafka 3 or
// later, as Reinstate does.
func (c *Cluster) Replace(ctx context.Context, broker int) error {
	address, err := c.Run(ctx, "add")
	if err != nil {
		return err
	}
	// The new broker has the place of the old one, so that clients always get the addresses of
	// three brokers.
	c.setAddress(broker, address)
	if err := c.reassign(ctx, int32(broker), standIn); err != nil { //nolint:gosec // small
		return err
	}
	// The new replicas are in sync, so no record is on the old broker alone.
	_, err = c.Run(ctx, "stop", strconv.Itoa(broker))
	return err
}

// Reinstate undoes Replace, except for the address: the broker is back at a third one.
func (c *Cluster) Reinstate(ctx context.Context, broker int) error {
	// At its old address clients would find the broker without learning a new address.
	if err := c.Move(ctx, broker); err != nil {
		return err
	}
	if err := c.reassign(ctx, standIn, int32(broker)); err != nil { //nolint:gosec // small
		return err
	}
	_, err := c.Run(ctx, "remove")
	return err
}

// setAddress sets the address of a broker or of its stand-in, for Addresses and for Client.
func (c *Cluster) setAddress(broker int, address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses[broker-1] = strings.TrimSpace(address)
	// This fails only for addresses that can't be parsed, which the script does not print.
	_ = c.Client.UpdateSeedBrokers(c.addresses...)
}

// reassign moves every replica of one broker to another, and waits until the new replicas are in
// sync. Those of internal topics move too, and with them the coordinators of groups.
func (c *Cluster) reassign(ctx context.Context, from, to int32) error {
	topics, err := c.replicas(ctx)
	if err != nil {
		return err
	}
	request := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	request.TimeoutMillis = 30_000
	for _, t := range topics {
		order := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		order.Topic = *t.Topic
		for i := range t.Partitions {
			p := &t.Partitions[i]
			// The order of replicas stays, so that a preferred leader is replaced by one.
			at := slices.Index(p.Replicas, from)
			if at < 0 {
				continue
			}
			part := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
			part.Partition, part.Replicas = p.Partition, slices.Clone(p.Replicas)
			part.Replicas[at] = to
			order.Partitions = append(order.Partitions, part)
		}
		if len(order.Partitions) > 0 {
			request.Topics = append(request.Topics, order)
		}
	}
	response, err := request.RequestWith(ctx, c.Client)
	if err != nil {
		return fmt.Errorf("reassigning partitions: %w", err)
	}
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return fmt.Errorf("reassigning partitions: %w", err)
	}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("reassigning %s/%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	// The request is only accepted now. Brokers still have to copy the records.
	return c.awaitReassigned(ctx, from)
}

// awaitReassigned waits until a broker has no replicas and those of other brokers are in sync.
func (c *Cluster) awaitReassigned(ctx context.Context, from int32) error {
	for {
		left := 0
		topics, err := c.replicas(ctx)
		for _, t := range topics {
			for i := range t.Partitions {
				if p := &t.Partitions[i]; slices.Contains(p.Replicas, from) || len(p.ISR) < len(p.Replicas) {
					left++
				}
			}
		}
		// After an error left is 0 too.
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d partitions are not moved or not in sync yet: %w", left, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond): // nothing signals the change
		}
	}
}

// replicas returns all topics, with their partitions and replicas.
func (c *Cluster) replicas(ctx context.Context) ([]kmsg.MetadataResponseTopic, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = nil // all
	response, err := request.RequestWith(ctx, c.Client)
	if err != nil {
		return nil, err
	}
	return response.Topics, nil
}
