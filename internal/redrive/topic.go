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

// Topic is the compacted topic that keeps the decisions about the dead letters of a cluster,
// and the jobs. Only its partition 0 is used.
const Topic = declare.LedgerTopic

// ledgerPartition is the only partition used, even if somebody adds others, so that all
// decisions have one order.
var ledgerPartition = transport.Partition{Topic: Topic}

// ErrNoTopic is the error of an order in a cluster without Topic.
var ErrNoTopic = errors.New("topic " + Topic + ", which keeps what is decided about dead letters, does not exist: " +
	"create it with eventbus topics provision, or by other means with 1 partition and cleanup.policy=compact")

// describe returns the description of Topic, and reports whether it exists. It returns an
// error if the topic would lose decisions.
func describe(ctx context.Context, cluster *kafka.Transport) (transport.TopicInfo, bool, error) {
	infos, err := cluster.Admin().Topics(ctx, Topic)
	if err != nil {
		return transport.TopicInfo{}, false, err
	}
	// Configs is nil if this client may not read configurations. Then the topic's creator is
	// trusted.
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
