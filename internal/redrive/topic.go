package redrive

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// Topic keeps the decisions about the dead letters of a cluster, and the jobs: a
// compacted topic, of which only partition 0 is used.
const Topic = declare.LedgerTopic

// ledgerPartition is the one partition in use, even if somebody added others: all
// decisions are in its order.
var ledgerPartition = transport.Partition{Topic: Topic}

// ErrNoTopic is the error of an order in a cluster without Topic.
var ErrNoTopic = errors.New("topic " + Topic + ", which keeps what is decided about dead letters, does not exist: " +
	"create it with eventbus topics provision, or by other means with 1 partition and cleanup.policy=compact")

// describe returns the description of Topic, and false if it does not exist. A
// topic that would forget decisions is an error.
func describe(ctx context.Context, cluster *kafka.Transport) (transport.TopicInfo, bool, error) {
	infos, err := cluster.Admin().Topics(ctx, Topic)
	if err != nil {
		return transport.TopicInfo{}, false, err
	}
	// Configs are nil if this client may not read them; then the topic is assumed
	// to be right.
	switch info := infos[0]; {
	case errors.Is(info.Err, transport.ErrTopicMissing):
		return info, false, nil
	case info.Err != nil:
		return info, false, fmt.Errorf("topic %s: %w", Topic, info.Err)
	case info.Configs != nil && strings.TrimSpace(info.Configs[declare.ConfigCleanupPolicy]) != "compact":
		return info, false, fmt.Errorf("topic %s has cleanup.policy=%s, so brokers would forget what was decided about dead letters: set it to compact",
			Topic, info.Configs[declare.ConfigCleanupPolicy])
	default:
		return info, true, nil
	}
}
