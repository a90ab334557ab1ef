package group

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

const (
	// brokerSession is Kafka's default for groups of KIP-848. It applies until the brokers have
	// told theirs, and permanently if this client may not ask.
	brokerSession = 45 * time.Second
	// sessionAge is how often the group's session timeout is looked up: an operator can change
	// it while the group runs.
	sessionAge = 5 * time.Minute
	// sessionConfig is its name among a group's configurations.
	sessionConfig = "consumer.session.timeout.ms"
)

// askSession returns the session timeout of a group of KIP-848.
func askSession(ctx context.Context, client *cluster.Client, group string) (time.Duration, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	// A group's own configuration, or the broker's default if it has none (KIP-848).
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	resource.ConfigNames = []string{sessionConfig}
	req.Resources = append(req.Resources, resource)
	answer, err := client.AnyBroker(ctx, req)
	if err != nil {
		return 0, err
	}
	for _, r := range answer.(*kmsg.DescribeConfigsResponse).Resources {
		// Only one resource was requested.
		if r.ErrorCode != 0 {
			return 0, kerr.Error(r.ErrorCode)
		}
		for _, c := range r.Configs {
			if c.Name != sessionConfig || c.Value == nil {
				continue
			}
			ms, err := strconv.ParseInt(*c.Value, 10, 32)
			if err != nil || ms <= 0 {
				return 0, fmt.Errorf("%s of group %q is %q, want milliseconds", sessionConfig, group, *c.Value)
			}
			return time.Duration(ms) * time.Millisecond, nil
		}
	}
	// The broker knows group configurations, but not this one.
	return 0, fmt.Errorf("%s of group %q: %w", sessionConfig, group, kerr.UnsupportedVersion)
}
