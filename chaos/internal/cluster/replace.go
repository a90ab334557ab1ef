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

// standIn is the id of the broker that takes another's place.
// The script gives the next free id, which this is as long as one broker is added at a time.
const standIn = Brokers + 1

// Replace lets a new broker, with an id and an address that nobody knows, take a
// broker's place: it gets all of its replicas, and the old one stops.
func (c *Cluster) Replace(ctx context.Context, broker int) error {
	address, err := c.Run(ctx, "add")
	if err != nil {
		return err
	}
	// The index stays that of the broker replaced, so that clients get three addresses of
	// brokers that run, before and after.
	c.setAddress(broker, address)
	if err := c.reassign(ctx, int32(broker), standIn); err != nil { //nolint:gosec // small
		return err
	}
	// Only now: its replicas are in sync elsewhere, so that no record is on this broker alone.
	_, err = c.Run(ctx, "stop", strconv.Itoa(broker))
	return err
}

// Reinstate undoes Replace, but for the address: the broker comes back at a third.
func (c *Cluster) Reinstate(ctx context.Context, broker int) error {
	// The old address must answer no more, or clients would find their way back without
	// learning anything.
	if err := c.Move(ctx, broker); err != nil {
		return err
	}
	if err := c.reassign(ctx, standIn, int32(broker)); err != nil { //nolint:gosec // small
		return err
	}
	_, err := c.Run(ctx, "remove")
	return err
}

// setAddress notes the address at which a broker, or the one in its place, is.
// Both the campaign's clients to come and this package's own learn of it.
func (c *Cluster) setAddress(broker int, address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses[broker-1] = strings.TrimSpace(address)
	// The error is one of addresses that can't be parsed, which brokers print no.
	_ = c.Client.UpdateSeedBrokers(c.addresses...)
}

// reassign moves every replica of one broker to another, and waits until the new
// ones are in sync.
// The internal topics are among them, groups and their coordinators too.
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
			// The replica is replaced in its place, so that the preferred leader stays the first.
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
	// Accepted is not done: the brokers copy the records afterwards.
	return c.awaitReassigned(ctx, from)
}

// awaitReassigned waits until a broker has no replica and every other is in sync.
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
		// Without an answer left is 0 too.
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d partitions are still being moved: %w", left, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond): // nothing tells when the brokers are through
		}
	}
}

// replicas returns the partitions of all topics.
func (c *Cluster) replicas(ctx context.Context) ([]kmsg.MetadataResponseTopic, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = nil // all
	response, err := request.RequestWith(ctx, c.Client)
	if err != nil {
		return nil, err
	}
	return response.Topics, nil
}
