package cluster

import (
	"iter"

	"github.com/eventbus-go/eventbus/transport"
)

// ByTopic groups items by topic, for requests, which name each topic once. Topics, and the items of
// each, are in the order of items.
func ByTopic[T any](items []T, topic func(T) string) iter.Seq2[string, []T] {
	var topics []string
	of := make(map[string][]T)
	for _, item := range items {
		name := topic(item)
		if of[name] == nil {
			topics = append(topics, name)
		}
		of[name] = append(of[name], item)
	}
	return func(yield func(string, []T) bool) {
		for _, name := range topics {
			if !yield(name, of[name]) {
				return
			}
		}
	}
}

// TopicOfPartition returns the topic of p, for ByTopic.
func TopicOfPartition(p transport.Partition) string { return p.Topic }

// TopicOfCommit returns the topic of c, for ByTopic.
func TopicOfCommit(c transport.Commit) string { return c.Topic }
