//go:build integration

package interop

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

// TestSecurity connects clients, with and without the necessary rights, to a broker
// that requires certificates and passwords and has access control lists. A client
// that is refused learns why in time, and no secret is printed.
func TestSecurity(t *testing.T) {
	needJava(t)
	if v := os.Getenv("KAFKA_VERSION"); v != "" && v < "4.1" {
		t.Skipf("the broker of this test is configured as Apache Kafka 4.1 wants it, not %s", v)
	}
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	broker := startSecured(t, ours)

	files := func(a *authority, name string, until time.Time) kafka.TLSFiles {
		certificate, key, _ := a.identity(name, until)
		return kafka.TLSFiles{CA: ours.ca, Certificate: certificate, Key: key}
	}
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	known := kafka.TLSFiles{CA: ours.ca}
	user := func(mechanism, name, password string) kafka.SASL {
		return kafka.SASL{Mechanism: mechanism, Username: name, Password: secret.Text(password)}
	}

	for _, test := range []struct {
		name, listener string
		tls            kafka.TLSFiles
		sasl           kafka.SASL
		says           string // empty: it works
	}{
		{"mutual TLS", "MUTUAL", files(ours, "client", soon), kafka.SASL{}, ""},
		{"PLAIN", "PASSWORD", known, user("PLAIN", "alice", "pass-alice"), ""},
		{"SCRAM-SHA-512", "PASSWORD", known, user("SCRAM-SHA-512", "alice", "pass-alice"), ""},

		{"unknown authority", "ONEWAY", kafka.TLSFiles{CA: theirs.ca}, kafka.SASL{}, "unknown authority"},
		{"expired certificate of the broker", "EXPIRED", known, kafka.SASL{}, "expired"},
		{"no certificate", "MUTUAL", known, kafka.SASL{}, "certificate"},
		{"expired certificate", "MUTUAL", files(ours, "late", past), kafka.SASL{}, "expired"},
		{"foreign certificate", "MUTUAL", files(theirs, "stranger", soon), kafka.SASL{}, "certificate"},
		{"wrong password, PLAIN", "PASSWORD", known, user("PLAIN", "alice", "open-sesame"), "SASL_AUTHENTICATION_FAILED"},
		{"wrong password, SCRAM-SHA-512", "PASSWORD", known, user("SCRAM-SHA-512", "alice", "open-sesame"), "SASL_AUTHENTICATION_FAILED"},
		{"unknown user", "PASSWORD", known, user("SCRAM-SHA-512", "mallory", "open-sesame"), "SASL_AUTHENTICATION_FAILED"},
		{"no SASL where it is asked", "PASSWORD", known, kafka.SASL{}, "probably expects SASL. Set SASL"},
		{"SASL where it is not asked", "ONEWAY", known, user("PLAIN", "alice", "pass-alice"), "SASL"},
		{"another mechanism", "PASSWORD", known, user("SCRAM-SHA-256", "alice", "pass-alice"), "it offers "},
		{"TLS where it is not asked", "PLAINTEXT", known, kafka.SASL{}, "without TLS?"},
		{"no TLS where it is asked", "PASSWORD", kafka.TLSFiles{}, user("PLAIN", "alice", "pass-alice"), "TLS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := broker.at(test.listener)
			err := exchange(t, kafka.Config{Brokers: []string{address}, TLSFiles: test.tls, SASL: test.sasl})
			if test.says == "" {
				if err != nil {
					t.Fatalf("it does not work: %v", err)
				}
				return
			}
			switch {
			case err == nil:
				t.Fatal("it is let in")
			case errors.Is(err, context.DeadlineExceeded):
				t.Errorf("it waits instead of reporting the refusal: %v", err)
			case !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), address):
				t.Errorf("%v\nwant it to say %q and the broker's address", err, test.says)
			}
			if strings.Contains(err.Error(), "open-sesame") || strings.Contains(err.Error(), "pass-alice") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
	t.Run("access control", func(t *testing.T) { testAccess(t, broker, known) })
	t.Run("rights of a service", func(t *testing.T) { testRights(t, broker, known) })
	t.Run("rights taken away", func(t *testing.T) { testRevoked(t, broker, known) })
}

// exchange publishes an event over a bus and waits until its handler has it.
func exchange(t *testing.T, config kafka.Config) error {
	t.Helper()
	ctx := deadline(t)
	bus, err := eventbus.New(kafka.New(config), eventbus.Config{
		Service: "interop", Environment: "secured", Source: "urn:interop", AutoProvision: eventbus.ProvisionAlways,
	})
	if err != nil {
		return err
	}
	defer func() { _ = bus.Close(context.WithoutCancel(ctx)) }()
	handled := make(chan struct{})
	var once sync.Once
	err = eventbus.Subscribe(bus, customers, func(context.Context, CustomerCreated) error {
		once.Do(func() { close(handled) })
		return nil
	})
	if err != nil {
		return err
	}
	if err := bus.Start(ctx); err != nil {
		return err
	}
	if err := eventbus.NewPublisher(bus, customers).Publish(ctx, CustomerCreated{CustomerID: "c-1"}); err != nil {
		return err
	}
	select {
	case <-handled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// testAccess: bob may write and read one topic, as one group. Errors name the topic
// or group that he may not use.
func testAccess(t *testing.T, broker *secured, known kafka.TLSFiles) {
	admin := kafka.New(kafka.Config{Brokers: []string{broker.at("PLAINTEXT")}})
	defer func() { _ = admin.Close(context.Background()) }()
	open, closed := customers.In("open"), customers.In("closed")
	for _, topic := range []string{open, closed} {
		if err := admin.Admin().CreateTopics(deadline(t), transport.TopicSpec{Name: topic, Partitions: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, operation := range []string{"Read", "Write", "Describe"} {
		broker.allow("bob", operation, "--topic", open)
	}
	broker.allow("bob", "Describe", "--topic", closed)
	broker.allow("bob", "Read", "--group", "readers")

	bobs := kafka.Config{
		Brokers: []string{broker.at("PASSWORD")}, TLSFiles: known,
		SASL: kafka.SASL{Mechanism: "PLAIN", Username: "bob", Password: secret.Text("pass-bob")},
	}
	bob := kafka.New(bobs)
	defer func() { _ = bob.Close(context.Background()) }()
	publish := func(environment string) error {
		bus, err := eventbus.New(kafka.New(bobs), eventbus.Config{Service: "interop", Environment: environment, Source: "urn:interop"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = bus.Close(context.Background()) }()
		return eventbus.NewPublisher(bus, customers).Publish(deadline(t), CustomerCreated{CustomerID: "c-1"})
	}
	if err := publish("open"); err != nil {
		t.Errorf("writing to the topic that bob may write: %v", err)
	}
	denied(t, "writing to a topic", publish("closed"), closed)

	consume := func(group, topic string) error {
		c, err := bob.NewConsumer(transport.ConsumerConfig{
			Group: group, Topics: []transport.TopicStart{{Topic: topic}}, Listener: deaf{}, HeartbeatInterval: 200 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		defer func() { _ = c.Close(context.Background()) }()
		ctx, cancel := context.WithCancel(deadline(t))
		defer cancel()
		read := make(chan struct{})
		var polling sync.WaitGroup
		polling.Go(func() {
			defer close(read)
			for {
				batches, err := c.Poll(ctx)
				if err != nil || len(batches) > 0 && len(batches[0].Records) > 0 {
					return
				}
			}
		})
		defer polling.Wait()
		defer cancel()
		poll := time.NewTicker(20 * time.Millisecond)
		defer poll.Stop()
		for {
			select {
			case <-read:
				return ctx.Err()
			case <-poll.C:
				if err := trouble(c.Status()); errors.Is(err, transport.ErrUnauthorized) {
					return err
				}
			}
		}
	}
	if err := consume("readers", open); err != nil {
		t.Errorf("reading what bob may read: %v", err)
	}
	denied(t, "joining a group", consume("strangers", open), "strangers")
	denied(t, "reading a topic", consume("readers", closed), closed)
}

// denied checks that an error says what a refused client must know.
func denied(t *testing.T, what string, err error, name string) {
	t.Helper()
	if !errors.Is(err, transport.ErrUnauthorized) || !strings.Contains(err.Error(), name) {
		t.Errorf("%s that is denied: %v, want ErrUnauthorized and the name %q", what, err, name)
	}
}

// trouble returns what is wrong with a member or with one of its partitions,
// according to its status.
func trouble(s transport.ConsumerStatus) error {
	errs := []error{s.LastError}
	for _, p := range s.Partitions {
		errs = append(errs, p.Err)
	}
	return errors.Join(errs...)
}

// deaf is a Listener that ignores all calls.
type deaf struct{}

func (deaf) Assigned([]transport.Assignment)                  {}
func (deaf) Revoked(context.Context, []transport.Partition)   {}
func (deaf) Lost([]transport.Partition)                       {}
func (deaf) Skipped(transport.Partition, int64, int64, error) {}
