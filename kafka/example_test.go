package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest/embedded"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

// A Transport connects when it is first used. The broker of this example runs
// inside the process; in a service Brokers comes from its configuration.
func Example() {
	ctx := context.Background()
	broker, err := embedded.Start(embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()

	t := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	defer t.Close(ctx)

	if err := t.Admin().CreateTopics(ctx, transport.TopicSpec{Name: "orders", Partitions: 6}); err != nil {
		log.Fatal(err)
	}
	cluster, err := t.Cluster(ctx)
	if err != nil {
		log.Fatal(err)
	}
	topics, err := t.Admin().Topics(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("cluster %q, brokers: %d\n", cluster.ID, len(cluster.Brokers))
	fmt.Printf("topic %s, partitions: %d\n", topics[0].Name, topics[0].Partitions)
	// Output:
	// cluster "embedded", brokers: 1
	// topic orders, partitions: 6
}

// Validate lists every wrong field at once, and what to write instead.
func ExampleConfig_Validate() {
	err := kafka.Config{
		Brokers:     []string{"kafka.internal"},
		SASL:        kafka.SASL{Mechanism: "PLAIN", Username: "orders"},
		Compression: "brotli",
	}.Validate()
	fmt.Println(err)
	// Output:
	// kafka: invalid kafka.Config:
	//   - Brokers[0] "kafka.internal" has no port, or no brackets around an IPv6 address: write host:port, such as "localhost:9092"
	//   - SASL.Password is missing: PLAIN needs one
	//   - Compression "brotli" is unknown: write none, gzip, snappy, lz4, zstd
}

// Passwords stay out of logs, in every format.
func ExampleConfig_String() {
	cfg := kafka.Config{
		Brokers:  []string{"kafka-1:9093", "kafka-2:9093"},
		ClientID: "orders",
		TLSFiles: kafka.TLSFiles{CA: "/etc/kafka/ca.pem"},
		SASL:     kafka.SASL{Mechanism: "SCRAM-SHA-512", Username: "orders", Password: secret.Text("hunter2")},
	}
	fmt.Printf("%+v\n", cfg)
	// Output:
	// kafka.Config{Brokers: kafka-1:9093,kafka-2:9093, ClientID: "orders", TLS, SASL: SCRAM-SHA-512 as "orders"}
}

// ResetGroup sets the offsets at which the members of a group continue when they
// are started next. The brokers refuse it while the group has members.
func ExampleAdmin_ResetGroup() {
	ctx := context.Background()
	broker, err := embedded.Start(embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	t := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	defer t.Close(ctx)
	admin := kafka.NewAdmin(t)
	if err := admin.CreateTopics(ctx, transport.TopicSpec{Name: "orders", Partitions: 1}); err != nil {
		log.Fatal(err)
	}

	if _, err := admin.Group(ctx, "billing"); errors.Is(err, kafka.ErrGroupMissing) {
		fmt.Println("billing does not exist yet")
	}
	p := transport.Partition{Topic: "orders", Partition: 0}
	if err := admin.ResetGroup(ctx, "billing", transport.Commit{Partition: p, Offset: 42, LeaderEpoch: -1}); err != nil {
		log.Fatal(err)
	}

	groups, err := admin.Groups(ctx)
	if err != nil {
		log.Fatal(err)
	}
	commits, err := admin.Committed(ctx, "billing", "orders")
	if err != nil {
		log.Fatal(err)
	}
	for _, g := range groups {
		fmt.Printf("group %s is %s and continues at %s@%d\n", g.Name, g.State, p, commits[p].Offset)
	}
	// Output:
	// billing does not exist yet
	// group billing is Empty and continues at orders/0@42
}

// Records and the offsets that they result from are committed together: after a
// crash neither is there without the other.
func ExampleNewTransactor() {
	ctx := context.Background()
	broker, err := embedded.Start(embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	t := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	defer t.Close(ctx)
	admin := kafka.NewAdmin(t)
	if err := admin.CreateTopics(ctx, transport.TopicSpec{Name: "orders"}, transport.TopicSpec{Name: "invoices"}); err != nil {
		log.Fatal(err)
	}

	tx, err := kafka.NewTransactor(ctx, t, "billing-1", kafka.TransactorConfig{})
	if err != nil {
		log.Fatal(err)
	}
	orders := transport.Partition{Topic: "orders", Partition: 0}
	invoice := transport.Record{Topic: "invoices", Key: []byte("7"), Value: []byte(`{"total": 12}`)}
	err = tx.Produce(ctx, invoice)
	if err == nil {
		err = tx.SendOffsets(ctx, "billing", transport.Commit{Partition: orders, Offset: 1, LeaderEpoch: -1})
	}
	if err != nil {
		_ = tx.Abort(ctx) // readers need not wait for the timeout
		log.Fatal(err)
	}
	if err := tx.Commit(ctx); err != nil {
		log.Fatal(err)
	}

	commits, err := admin.Committed(ctx, "billing")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("billing continues at", commits[orders].Offset)
	// Output: billing continues at 1
}

// Probe shows which brokers can be reached at the addresses that the cluster
// gives to clients, which may differ from those in Config.
func ExampleAdmin_Probe() {
	ctx := context.Background()
	broker, err := embedded.Start(embedded.Config{Brokers: 3})
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	t := kafka.New(kafka.Config{Brokers: broker.Brokers()[:1]})
	defer t.Close(ctx)

	probes, err := kafka.NewAdmin(t).Probe(ctx)
	if err != nil {
		log.Fatal(err)
	}
	unreachable := slices.ContainsFunc(probes, func(p kafka.BrokerProbe) bool { return p.Err != nil })
	fmt.Printf("brokers: %d, some cannot be reached: %t\n", len(probes), unreachable)
	// Output: brokers: 3, some cannot be reached: false
}
