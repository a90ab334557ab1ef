//go:build integration

package interop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

// testRevoked revokes each right of a running service, and grants it again. Meanwhile the
// service names the missing right and loses nothing; afterwards it goes on without a
// restart.
func testRevoked(t *testing.T, broker *secured, known kafka.TLSFiles) {
	const environment = "revoked"
	o := newOperator(t, broker.at("PLAINTEXT"))
	c := &cluster{brokers: broker.at("PLAINTEXT"), topic: customers.In(environment)}
	group := "rights-" + environment
	dead, retry := c.topic+"."+group+naming.DeadSuffix, c.topic+"."+group+naming.RetrySuffix
	for _, topic := range []string{c.topic, dead, retry} {
		o.createTopic(topic, 6)
	}
	right := func(allow bool, operation kmsg.ACLOperation, topic string) {
		t.Helper()
		o.permit(allow, "bob", operation, kmsg.ACLResourceTypeTopic, topic)
	}
	readsGroup := func(allow bool) {
		t.Helper()
		o.permit(allow, "bob", kmsg.ACLOperationRead, kmsg.ACLResourceTypeGroup, group)
	}
	readsGroup(true)
	right(true, kmsg.ACLOperationWrite, c.topic)
	right(true, kmsg.ACLOperationRead, c.topic)
	right(true, kmsg.ACLOperationWrite, dead)
	right(true, kmsg.ACLOperationRead, retry)
	driver := kafka.New(kafka.Config{
		Brokers: []string{broker.at("PASSWORD")}, TLSFiles: known,
		SASL: kafka.SASL{Mechanism: "PLAIN", Username: "bob", Password: secret.Text("pass-bob")},
	})
	// A right that is granted takes effect a little later.
	for ctx, last := deadline(t), false; !last; {
		rights, err := kafka.NewAdmin(driver).TopicRights(ctx, retry)
		if ctx.Err() != nil {
			t.Fatal("the rights are not granted: ", err)
		}
		granted := rights[retry]
		last = err == nil && granted.Allow(kafka.OperationRead)
	}
	bus, err := eventbus.New(driver, eventbus.Config{
		Service: "rights", Environment: environment, Source: "urn:interop", AutoProvision: eventbus.ProvisionNever,
		HeartbeatInterval: 500 * time.Millisecond, StuckAfter: 2 * time.Second,
	})
	must(t, err)
	defer func() {
		if err := bus.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	c.bus = bus
	s := serve(t, c, o, nil)
	s.await(t, "all partitions", func() bool { return s.inspect().State == "stable" && s.owned() == 6 })

	right(false, kmsg.ACLOperationWrite, c.topic)
	for ctx := deadline(t); ; { // until the brokers know
		if err := s.publish(t, "before"); err != nil {
			denied(t, "publishing", err, c.topic)
			break
		} else if ctx.Err() != nil {
			t.Fatal("the right to publish is not taken away")
		}
	}
	right(true, kmsg.ACLOperationWrite, c.topic)
	for ctx := deadline(t); ; {
		if err := s.publish(t, "published again"); err == nil {
			break
		} else if ctx.Err() != nil || !errors.Is(err, transport.ErrUnauthorized) {
			t.Fatal(err)
		}
	}
	s.awaitAll(t, "published again")

	right(false, kmsg.ACLOperationRead, c.topic)
	s.awaitHealth(t, "TOPIC_AUTHORIZATION_FAILED")
	must(t, s.publish(t, numbered("unread-", 97)...))
	right(true, kmsg.ACLOperationRead, c.topic)
	s.awaitAll(t, numbered("unread-", 97)...)

	readsGroup(false)
	s.awaitHealth(t, "GROUP_AUTHORIZATION_FAILED")
	must(t, s.publish(t, numbered("groupless-", 97)...))
	readsGroup(true)
	s.awaitAll(t, numbered("groupless-", 97)...)
	s.await(t, "commits", func() bool { return s.lag() == 0 })

	right(false, kmsg.ACLOperationWrite, dead)
	must(t, s.publish(t, "bad", "another key"))
	must(t, s.publish(t, "behind"))
	s.awaitAll(t, "another key")
	s.awaitHealth(t, "1 keys wait")
	right(true, kmsg.ACLOperationWrite, dead)
	s.awaitAll(t, "behind")
	s.awaitHealth(t, "Status:Healthy")
}
