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
	// brokerSession is Kafka's default for groups of KIP-848. It stands until the
	// brokers have named theirs, and for good where this client may not ask.
	brokerSession = 45 * time.Second
	// sessionAge is how often the group's session timeout is asked for: an operator
	// can change it while the group runs.
	sessionAge = 5 * time.Minute
	// sessionConfig names it among a group's configurations.
	sessionConfig = "consumer.session.timeout.ms"
)

// askSession asks for the session timeout of a group of KIP-848.
func askSession(ctx context.Context, client *cluster.Client, group string) (time.Duration, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	// A group's own configuration, with the broker's default where it has none (KIP-848).
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	resource.ConfigNames = []string{sessionConfig}
	req.Resources = append(req.Resources, resource)
	answer, err := client.AnyBroker(ctx, req)
	if err != nil {
		return 0, err
	}
	for _, r := range answer.(*kmsg.DescribeConfigsResponse).Resources {
		// One resource was asked for, so the first is it.
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
	// A broker that knows groups' configurations and not this one.
	return 0, fmt.Errorf("%s of group %q: %w", sessionConfig, group, kerr.UnsupportedVersion)
}
