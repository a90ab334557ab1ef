//go:build integration

package interop

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// operator does to a cluster, through another client, what operators do with Kafka's
// own tools while services run.
type operator struct {
	t      *testing.T
	client *kgo.Client
}

func newOperator(t *testing.T, brokers string) *operator {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &operator{t, client}
}

// done fails the test if a request, or what it asked for, has failed.
func (o *operator) done(what string, err error, code func() int16) {
	o.t.Helper()
	if err == nil {
		err = kerr.ErrorForCode(code())
	}
	if err != nil {
		o.t.Fatalf("%s: %v", what, err)
	}
}

// configure sets configurations of a topic: names and values in turn.
func (o *operator) configure(topic string, settings ...string) {
	o.t.Helper()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	for i := 0; i < len(settings); i += 2 {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = settings[i], &settings[i+1]
		resource.Configs = append(resource.Configs, c)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, resource)
	resp, err := req.RequestWith(deadline(o.t), o.client)
	o.done("configuring "+topic, err, func() int16 { return resp.Resources[0].ErrorCode })
}

func (o *operator) createTopic(topic string, partitions int32) {
	o.t.Helper()
	created := kmsg.NewCreateTopicsRequestTopic()
	created.Topic, created.NumPartitions, created.ReplicationFactor = topic, partitions, -1
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, created)
	for ctx := deadline(o.t); ; {
		resp, err := req.RequestWith(ctx, o.client)
		// An earlier topic of the name may still be being deleted.
		if err == nil && errors.Is(kerr.ErrorForCode(resp.Topics[0].ErrorCode), kerr.TopicAlreadyExists) {
			continue
		}
		o.done("creating "+topic, err, func() int16 { return resp.Topics[0].ErrorCode })
		return
	}
}

func (o *operator) deleteTopic(topic string) {
	o.t.Helper()
	deleted := kmsg.NewDeleteTopicsRequestTopic()
	deleted.Topic = &topic
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Topics, req.TopicNames = append(req.Topics, deleted), []string{topic}
	resp, err := req.RequestWith(deadline(o.t), o.client)
	o.done("deleting "+topic, err, func() int16 { return resp.Topics[0].ErrorCode })
}

func (o *operator) addPartitions(topic string, count int32) {
	o.t.Helper()
	grown := kmsg.NewCreatePartitionsRequestTopic()
	grown.Topic, grown.Count = topic, count
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Topics = append(req.Topics, grown)
	resp, err := req.RequestWith(deadline(o.t), o.client)
	o.done("adding partitions to "+topic, err, func() int16 { return resp.Topics[0].ErrorCode })
}

// deleteGroup returns the coordinator's answer.
func (o *operator) deleteGroup(group string) error {
	o.t.Helper()
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{group}
	resp, err := req.RequestWith(deadline(o.t), o.client)
	if err != nil {
		o.t.Fatalf("deleting %s: %v", group, err)
	}
	return kerr.ErrorForCode(resp.Groups[0].ErrorCode)
}

// deleteOffset returns the coordinator's answer for partition 0 of a topic.
func (o *operator) deleteOffset(group, topic string) error {
	o.t.Helper()
	of := kmsg.NewOffsetDeleteRequestTopic()
	of.Topic, of.Partitions = topic, []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group, req.Topics = group, append(req.Topics, of)
	resp, err := req.RequestWith(deadline(o.t), o.client)
	switch {
	case err != nil:
		o.t.Fatalf("deleting offsets of %s: %v", group, err)
	case resp.ErrorCode != 0:
		return kerr.ErrorForCode(resp.ErrorCode)
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// members returns the ids of a group's members, whichever protocol it has.
func (o *operator) members(group string) (ids []string) {
	o.t.Helper()
	classic := kmsg.NewPtrDescribeGroupsRequest()
	classic.Groups = []string{group}
	described, err := classic.RequestWith(deadline(o.t), o.client)
	if err != nil {
		o.t.Fatalf("describing %s: %v", group, err)
	}
	for _, m := range described.Groups[0].Members {
		ids = append(ids, m.MemberID)
	}
	consumers := kmsg.NewPtrConsumerGroupDescribeRequest()
	consumers.Groups = []string{group}
	// Brokers before Apache Kafka 4.0 don't know the request.
	if resp, err := consumers.RequestWith(deadline(o.t), o.client); err == nil {
		for _, m := range resp.Groups[0].Members {
			ids = append(ids, m.MemberID)
		}
	}
	return ids
}

// expel removes all members of a group, as the tool of Kafka's admin client does.
func (o *operator) expel(group string) {
	o.t.Helper()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	for _, id := range o.members(group) {
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = id
		req.Members = append(req.Members, m)
	}
	resp, err := req.RequestWith(deadline(o.t), o.client)
	o.done("removing the members of "+group, err, func() int16 { return resp.ErrorCode })
}

// permit allows a user an operation on a resource, or takes that right away.
func (o *operator) permit(allow bool, user string, operation kmsg.ACLOperation, kind kmsg.ACLResourceType, name string) {
	o.t.Helper()
	principal, host := "User:"+user, "*"
	if allow {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.Principal, c.Host, c.Operation, c.PermissionType = kind, name, principal, host, operation, kmsg.ACLPermissionTypeAllow
		req := kmsg.NewPtrCreateACLsRequest()
		req.Creations = append(req.Creations, c)
		resp, err := req.RequestWith(deadline(o.t), o.client)
		o.done("allowing "+name, err, func() int16 { return resp.Results[0].ErrorCode })
		return
	}
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourceName, f.Principal, f.Host, f.Operation, f.PermissionType = kind, &name, &principal, &host, operation, kmsg.ACLPermissionTypeAllow
	req := kmsg.NewPtrDeleteACLsRequest()
	req.Filters = append(req.Filters, f)
	resp, err := req.RequestWith(deadline(o.t), o.client)
	o.done("revoking "+name, err, func() int16 { return resp.Results[0].ErrorCode })
	if len(resp.Results[0].MatchingACLs) == 0 {
		o.t.Fatalf("%s has no such right on %s", user, name)
	}
}
