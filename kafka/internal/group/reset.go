package group

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Reset stores commits for a group without members, in one request. The error is
// transport.ErrFenced if it has members. While a group is empty, the coordinator accepts
// offsets with generation −1 from anybody; while it has members it refuses them.
func Reset(ctx context.Context, client *cluster.Client, group string, commits []transport.Commit) error {
	commits, err := annotated(ctx, client, group, commits)
	if err != nil {
		return err
	}
	return client.AskGroup(ctx, group, StoreRequest(group, commits), StoredBy(commits))
}

// annotated returns commits with what the group's members store in their metadata: the types
// that the group handled lately, and marks, without which members ignore an offset on a topic
// that was created again.
func annotated(ctx context.Context, client *cluster.Client, group string, commits []transport.Commit) ([]transport.Commit, error) {
	var stored map[transport.Partition]transport.Commit
	// All of the group's commits, since marks of a topic's other partitions count too.
	err := client.Persist(ctx, func() (err error) {
		stored, err = client.Committed(ctx, group, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	// An operator's reset does not affect what the group handled lately.
	types := make(map[transport.Partition]string)
	for p, c := range stored {
		metadata, _ := unmark(c.Metadata)
		if rest, _, ok := splitTypes(metadata); ok {
			types[p] = metadata[len(rest)+len(typesOpens):]
		}
	}
	marks := UnmarkAll(stored)
	commits = slices.Clone(commits)
	for i := range commits {
		c := &commits[i]
		// Its own metadata comes first, as a member would write it.
		c.Metadata = joinTypes(c.Metadata, types[c.Partition], markedSize-markSize)
		if len(marks) == 0 {
			continue // no need to know the topics
		}
		topic, err := client.Topic(ctx, c.Topic)
		if err != nil {
			return nil, err
		}
		// Only if the group began the topic as one that was created again: others have no marks.
		if _, begun := startedOn(topic, stored, marks); begun {
			c.Metadata = mark(c.Metadata, topic.ID)
		}
	}
	return commits, nil
}

// StoredBy returns a function that returns the first error in a response to a StoreRequest of
// commits. A commit that the response leaves out counts as not stored.
func StoredBy(commits []transport.Commit) func(kmsg.Response) error {
	return func(answer kmsg.Response) error {
		stored := make(map[transport.Partition]bool, len(commits))
		for _, topic := range answer.(*kmsg.OffsetCommitResponse).Topics {
			for _, part := range topic.Partitions {
				p := transport.Partition{Topic: topic.Topic, Partition: part.Partition}
				if part.ErrorCode != 0 {
					return fmt.Errorf("%s: %w", p, kerr.Error(part.ErrorCode))
				}
				stored[p] = true
			}
		}
		return AllStored(commits, stored)
	}
}

// AllStored returns an error that names the first of commits that is missing from stored.
func AllStored(commits []transport.Commit, stored map[transport.Partition]bool) error {
	for i := range commits {
		if p := commits[i].Partition; !stored[p] {
			return fmt.Errorf("%s: %w", p, cluster.ErrLeftOut)
		}
	}
	return nil
}

// StoreRequest returns a request that stores offsets for a group without members.
func StoreRequest(group string, commits []transport.Commit) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1 // no member
	req.Topics = commitTopics(commits)
	return req
}
