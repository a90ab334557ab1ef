package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Admin inspects and changes a cluster: topics, records, groups and their offsets, brokers and
// access rights. It is safe for concurrent use, shares the connections of its Transport, and
// needs no Close.
//
// A request that fails with a retriable error, such as a moving leader, is repeated for
// Config.RequestTimeout or until the context ends.
type Admin struct {
	client *cluster.Client
	err    error // why the Transport's configuration is wrong; every method returns it
}

// NewAdmin returns an Admin for t's cluster. It connects on first use. Transport.Admin returns
// the same, as the narrower transport.Admin that every transport has.
func NewAdmin(t *Transport) *Admin { return &Admin{t.client, t.err} }

// Topics describes the named topics, in that order, or, if none is named, all topics except
// Kafka's internal ones. The Err of a topic that does not exist is transport.ErrTopicMissing.
// Configs is nil if this client may not read the topic's configuration.
func (a *Admin) Topics(ctx context.Context, names ...string) ([]transport.TopicInfo, error) {
	if a.err != nil {
		return nil, a.err
	}
	var infos []transport.TopicInfo
	err := a.client.Persist(ctx, func() (err error) {
		infos, err = a.describe(ctx, names)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: describing topics: %w", err)
	}
	return infos, nil
}

// describe asks one broker about topics; without names, about all but internal ones. A topic that
// does not exist is in the result, with its error in Err.
func (a *Admin) describe(ctx context.Context, names []string) ([]transport.TopicInfo, error) {
	req := cluster.MetadataRequest(names)
	all := len(names) == 0
	if all {
		req.Topics, names = nil, nil
	}
	asked := time.Now()
	answer, err := a.client.AnyBroker(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.MetadataResponse)
	if err := cluster.Starting(resp); err != nil {
		return nil, err
	}
	a.client.Learn(resp, asked)
	found := make(map[string]*transport.TopicInfo, len(resp.Topics))
	for i := range resp.Topics {
		if all && resp.Topics[i].IsInternal {
			continue
		}
		t := cluster.NewTopicMeta(&resp.Topics[i], asked)
		// A broker with old metadata doesn't know all partitions of the topic.
		if known := a.client.KnownTopic(t.Name); known != nil && known.Err == nil && t.Err == nil && known.ID == t.ID {
			t = known
		}
		info := &transport.TopicInfo{Name: t.Name, ID: t.ID, Partitions: int32(len(t.Partitions)), Err: t.Err}
		if len(t.Partitions) > 0 {
			info.Replication = t.Partitions[0].Replicas
		}
		found[t.Name] = info
		if all {
			names = append(names, t.Name)
		}
	}
	if err := a.configs(ctx, found); err != nil {
		return nil, err
	}
	infos := make([]transport.TopicInfo, 0, len(names))
	for _, name := range names {
		info := found[name]
		if info == nil {
			info = &transport.TopicInfo{Name: name, Err: cluster.TopicError(name, kerr.UnknownTopicOrPartition)}
		}
		infos = append(infos, *info)
	}
	return infos, nil
}

// configs fills in the configuration of existing topics. Reading it requires the right
// DescribeConfigs; without that it stays nil. A service that may write to a topic seldom has it.
func (a *Admin) configs(ctx context.Context, topics map[string]*transport.TopicInfo) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for name, info := range topics {
		if info.Err == nil {
			res := kmsg.NewDescribeConfigsRequestResource()
			res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, name
			req.Resources = append(req.Resources, res)
		}
	}
	if len(req.Resources) == 0 {
		return nil
	}
	answer, err := a.client.AnyBroker(ctx, req)
	if err != nil {
		return err
	}
	for _, res := range answer.(*kmsg.DescribeConfigsResponse).Resources {
		err := kerr.CodeError(res.ErrorCode)
		if kerr.Retriable(err) && !errors.Is(err, transport.ErrTopicMissing) {
			return err
		}
		info := topics[res.ResourceName]
		if err != nil || info == nil {
			continue
		}
		info.Configs = make(map[string]string, len(res.Configs))
		for _, c := range res.Configs {
			if c.Value != nil {
				info.Configs[c.Name] = *c.Value
			}
		}
	}
	return nil
}

// CreateTopics creates topics and waits until each of their partitions has a leader. Existing
// topics stay as they are. The error names the topics that could not be created; all others
// were.
func (a *Admin) CreateTopics(ctx context.Context, specs ...transport.TopicSpec) error {
	if a.err != nil {
		return a.err
	}
	if len(specs) == 0 {
		return nil
	}
	var errs []error
	var created []transport.TopicSpec
	for _, part := range createParts(specs) {
		var refused map[string]error
		err := a.client.Persist(ctx, func() (err error) {
			refused, err = a.create(ctx, part)
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("kafka: creating topics: %w", err))
			break // the others would fail in the same way
		}
		for _, spec := range part {
			if err := refused[spec.Name]; err != nil {
				errs = append(errs, fmt.Errorf("kafka: creating topic %q: %w", spec.Name, err))
			} else {
				created = append(created, spec)
			}
		}
	}
	return errors.Join(append(errs, a.usable(ctx, created))...)
}

// createRecords bounds the records that one request makes the controller write: one for each
// topic, partition and setting. Beyond 10,000 the controller refuses the whole request. Topics
// with the brokers' default number of partitions may need more than are counted here.
const createRecords = 5000

// createParts splits topics into requests that the controller accepts. A topic too large for any
// gets its own request, to be refused alone.
func createParts(specs []transport.TopicSpec) (parts [][]transport.TopicSpec) {
	begin, records := 0, 0
	for i := range specs {
		n := 1 + max(int(specs[i].Partitions), 1) + len(specs[i].Configs)
		if i > begin && records+n > createRecords {
			parts = append(parts, specs[begin:i])
			begin, records = i, 0
		}
		records += n
	}
	return append(parts, specs[begin:])
}

// create asks the controller once. The map has the final errors of refused topics. The error, if
// any, concerns the whole request, and may be worth a retry.
func (a *Admin) create(ctx context.Context, specs []transport.TopicSpec) (map[string]error, error) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(a.client.Options.RequestTimeout.Milliseconds())
	for _, spec := range specs {
		req.Topics = append(req.Topics, createRequest(spec))
	}
	controller, err := a.client.Controller(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := a.client.Request(ctx, controller, req)
	if err != nil {
		return nil, err
	}
	failed := make(map[string]error)
	for _, t := range answer.(*kmsg.CreateTopicsResponse).Topics {
		err := kerr.CodeError(t.ErrorCode)
		switch {
		case err == nil || errors.Is(err, kerr.TopicAlreadyExists):
			continue
		case t.ErrorMessage != nil && *t.ErrorMessage != "":
			err = fmt.Errorf("%w: %s", err, *t.ErrorMessage)
		}
		if kerr.Retriable(err) {
			return nil, err // topics that were created are not an error the next time
		}
		failed[t.Topic] = err
	}
	return failed, nil
}

// createRequest translates the spec of a topic to create. Zero partitions or replicas mean the
// brokers' defaults, which are −1 in the protocol.
func createRequest(spec transport.TopicSpec) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = spec.Name, spec.Partitions, spec.Replication
	if t.NumPartitions == 0 {
		t.NumPartitions = -1 // the broker's default (KIP-464)
	}
	if t.ReplicationFactor == 0 {
		t.ReplicationFactor = -1
	}
	for name, value := range spec.Configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, &value
		t.Configs = append(t.Configs, c)
	}
	return t
}

// usable waits until each partition of new topics has a leader: the controller answers before the
// other brokers know the topics. One request asks for all topics still missing leaders.
//
// With ZooKeeper, a topic that "already exists" may be one whose deletion takes some more
// seconds. Creating it is therefore retried about once a second.
func (a *Admin) usable(ctx context.Context, specs []transport.TopicSpec) error {
	var errs []error
	for turn := 1; len(specs) > 0; turn++ {
		if turn > 1 {
			cluster.Pause(ctx, 20*time.Millisecond)
		}
		var failed map[string]error
		if turn%50 == 0 {
			failed = make(map[string]error)
			for _, part := range createParts(specs) {
				refused, _ := a.create(ctx, part)
				maps.Copy(failed, refused)
			}
		}
		refreshed := a.client.Refresh(ctx, topicNames(specs)...)
		var waiting []transport.TopicSpec
		for _, spec := range specs {
			led, err := false, refreshed
			if err == nil {
				led, err = a.led(spec.Name)
			}
			switch {
			case failed[spec.Name] != nil:
				errs = append(errs, fmt.Errorf("kafka: creating topic %q: %w", spec.Name, failed[spec.Name]))
			case led:
			case ctx.Err() != nil:
				errs = append(errs, fmt.Errorf("kafka: waiting for leaders of topic %q: %w", spec.Name, ctx.Err()))
			case err != nil && !kerr.Retriable(err) && !errors.Is(err, transport.ErrTopicMissing):
				errs = append(errs, fmt.Errorf("kafka: %w", err))
			default:
				waiting = append(waiting, spec)
			}
		}
		specs = waiting
	}
	return errors.Join(errs...)
}

// led reports whether each partition of a topic has a leader, by the known metadata.
func (a *Admin) led(name string) (bool, error) {
	t := a.client.KnownTopic(name)
	if t == nil {
		return false, fmt.Errorf("topic %q: %w", name, cluster.ErrUnmentioned)
	}
	return t.Err == nil && len(t.Partitions) > 0 && t.Led(), t.Err
}

// topicNames returns the names of topics.
func topicNames(specs []transport.TopicSpec) []string {
	names := make([]string, len(specs))
	for i := range specs {
		names[i] = specs[i].Name
	}
	return names
}
