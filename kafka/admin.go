package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// admin describes and creates topics. Calls repeat what is worth repeating, for
// Config.RequestTimeout or until their context ends.
type admin struct {
	client *client
	err    error
}

// Admin describes and creates topics.
func (t *Transport) Admin() transport.Admin { return &admin{t.client, t.err} }

// Topics describes the named topics, or all but Kafka's internal ones.
func (a *admin) Topics(ctx context.Context, names ...string) ([]transport.TopicInfo, error) {
	if a.err != nil {
		return nil, a.err
	}
	var infos []transport.TopicInfo
	err := a.client.persist(ctx, func() (err error) {
		infos, err = a.describe(ctx, names)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: describing topics: %w", err)
	}
	return infos, nil
}

func (a *admin) describe(ctx context.Context, names []string) ([]transport.TopicInfo, error) {
	req := metadataRequest(names)
	all := len(names) == 0
	if all {
		req.Topics, names = nil, nil
	}
	asked := time.Now()
	answer, err := a.client.anyBroker(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.MetadataResponse)
	a.client.metadata.learn(resp, asked)
	found := make(map[string]*transport.TopicInfo, len(resp.Topics))
	for i := range resp.Topics {
		t := newTopicMeta(&resp.Topics[i], asked)
		if all && resp.Topics[i].IsInternal {
			continue
		}
		info := &transport.TopicInfo{Name: t.name, ID: t.id, Partitions: int32(len(t.partitions)), Err: t.err}
		if len(t.partitions) > 0 {
			info.Replication = t.partitions[0].replicas
		}
		found[t.name] = info
		if all {
			names = append(names, t.name)
		}
	}
	if err := a.configs(ctx, found); err != nil {
		return nil, err
	}
	infos := make([]transport.TopicInfo, 0, len(names))
	for _, name := range names {
		info := found[name]
		if info == nil {
			info = &transport.TopicInfo{Name: name, Err: topicError(name, unknownTopicOrPartition)}
		}
		infos = append(infos, *info)
	}
	return infos, nil
}

// configs fills in the configuration of the topics that exist. It stays nil
// where this client may not read it.
func (a *admin) configs(ctx context.Context, topics map[string]*transport.TopicInfo) error {
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
	answer, err := a.client.anyBroker(ctx, req)
	if err != nil {
		return err
	}
	for _, res := range answer.(*kmsg.DescribeConfigsResponse).Resources {
		err := codeError(res.ErrorCode)
		if retriable(err) && !errors.Is(err, transport.ErrTopicMissing) {
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

// CreateTopics creates topics and waits until each partition has a leader.
func (a *admin) CreateTopics(ctx context.Context, specs ...transport.TopicSpec) error {
	if a.err != nil {
		return a.err
	}
	if len(specs) == 0 {
		return nil
	}
	var failed map[string]error
	err := a.client.persist(ctx, func() (err error) {
		failed, err = a.create(ctx, specs)
		return err
	})
	if err != nil {
		return fmt.Errorf("kafka: creating topics: %w", err)
	}
	var errs []error
	for _, spec := range specs {
		if err := failed[spec.Name]; err != nil {
			errs = append(errs, fmt.Errorf("kafka: creating topic %q: %w", spec.Name, err))
		} else if err := a.usable(ctx, spec); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// create asks the controller once, and returns what it said for good of topics
// that it didn't create, or an error that may be worth repeating.
func (a *admin) create(ctx context.Context, specs []transport.TopicSpec) (map[string]error, error) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(a.client.cfg.RequestTimeout.Milliseconds())
	for _, spec := range specs {
		req.Topics = append(req.Topics, createRequest(spec))
	}
	controller, err := a.client.controller(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := a.client.request(ctx, controller, req)
	if err != nil {
		return nil, err
	}
	failed := make(map[string]error)
	for _, t := range answer.(*kmsg.CreateTopicsResponse).Topics {
		err := codeError(t.ErrorCode)
		switch {
		case err == nil || errors.Is(err, topicAlreadyExists):
			continue
		case t.ErrorMessage != nil && *t.ErrorMessage != "":
			err = fmt.Errorf("%w: %s", err, *t.ErrorMessage)
		}
		if retriable(err) {
			return nil, err // the topics that were created are no error the next time
		}
		failed[t.Topic] = err
	}
	return failed, nil
}

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

// usable waits until a topic that was just created has a leader for each
// partition: its creation is answered before all brokers know of it.
//
// Where ZooKeeper keeps the topics, one that "exists already" may be on its way
// out, for seconds: now and then it is asked for anew.
func (a *admin) usable(ctx context.Context, spec transport.TopicSpec) error {
	name := spec.Name
	for turn := 1; ; turn++ {
		t, err := a.client.freshTopic(ctx, name)
		if err == nil && len(t.partitions) > 0 && t.led() {
			return nil
		}
		if err != nil && !retriable(err) && !errors.Is(err, transport.ErrTopicMissing) {
			return fmt.Errorf("kafka: %w", err)
		}
		pause(ctx, 20*time.Millisecond)
		if turn%50 == 0 {
			if failed, _ := a.create(ctx, []transport.TopicSpec{spec}); failed[name] != nil {
				return fmt.Errorf("kafka: creating topic %q: %w", name, failed[name])
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("kafka: waiting for leaders of topic %q: %w", name, ctx.Err())
		}
	}
}

// led tells whether every partition has a leader.
func (t *topicMeta) led() bool {
	for _, p := range t.partitions {
		if p.leader < 0 {
			return false
		}
	}
	return true
}

// controller is the broker that creates topics. In KRaft mode any broker passes
// the request on, and says that it is the controller.
func (c *client) controller(ctx context.Context) (int32, error) {
	if err := c.refresh(ctx); err != nil {
		return -1, err
	}
	c.metadata.mu.Lock()
	defer c.metadata.mu.Unlock()
	return c.metadata.controller, nil
}

// persist repeats do while its error is retriable.
func (c *client) persist(ctx context.Context, do func() error) error {
	begun, wait := time.Now(), 20*time.Millisecond
	for {
		err := do()
		if err == nil || !retriable(err) || time.Since(begun) > c.cfg.RequestTimeout {
			return err
		}
		if ctx.Err() == nil {
			pause(ctx, wait)
			wait = min(2*wait, time.Second)
		}
		if ctx.Err() != nil {
			if errors.Is(err, ctx.Err()) {
				return err
			}
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}
