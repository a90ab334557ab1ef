// Package eventbus lets services publish and handle typed events over Apache
// Kafka without losing one, reordering one key, or stalling, and test that
// without a broker.
//
// A contracts package declares topics; a service publishes with a Publisher and
// handles with subscriptions; a Bus runs them:
//
//	var CustomerCreatedTopic = eventbus.NewTopic(eventbus.TopicConfig[CustomerCreated]{
//		Domain: "sales", Name: "customer", Plural: true, // dev.sales.public.customers.v1
//		Key:    func(e CustomerCreated) string { return e.CustomerID },
//	})
//
//	bus, err := eventbus.New(kafka.New(kafka.Config{Brokers: brokers}), eventbus.Config{Service: "mailer", Environment: "Production"})
//	created := eventbus.NewPublisher(bus, sales.CustomerCreatedTopic)
//	err = eventbus.Subscribe(bus, sales.CustomerCreatedTopic, mailer.Welcome)
//	err = bus.Run(ctx)
//
// # Promises
//
//  1. Durable publish. When Publish returns nil, all in-sync replicas have the
//     event, once: retries inside the bus neither duplicate nor reorder it.
//  2. No silent loss. A record leaves a subscription in exactly one of three
//     ways: handled, dead-lettered with that write acknowledged, or skipped by a
//     policy that was configured and is counted. Only then may its offset pass
//     the committed watermark. While the dead-letter topic is out of reach the
//     key waits; nothing is skipped.
//  3. Key order. Events with one key are handled one at a time, in log order,
//     also while one of them is being retried, across lanes, rebalances and
//     restarts, up to each event's end. Different keys run side by side.
//  4. At least once, and how much more. A clean stop or a clean rebalance repeats
//     nothing. A crash repeats at most what was running or finished since the
//     last commit; what was finished beyond the watermark by then is not
//     repeated, it travels in the commit's metadata.
//  5. No stall. One slow, failing or poisonous key holds up that key alone. Waits
//     are bounded, and health tells the truth about progress.
//  6. Bounded. Memory is bounded by configuration whatever the backlog.
//     Back-pressure stops fetching, and never leaves the group.
//  7. Clean end. Shutdown stops fetching, finishes what runs, commits, leaves, and
//     flushes publishers, within the caller's context, and leaks no goroutine.
//  8. Plain on the wire. Records are CloudEvents 1.0 as the Kafka protocol binding
//     says, readable by every other client; nothing of this package is needed to
//     read them.
//
// Each has tests that carry its number (TestPromise1…), and docs/reliability.md
// says how they are shown and where they end. The limits: order is promised per
// partition, so growing a topic's partitions is a border; a dead letter is a hole
// in its key's order; a process that freezes longer than its session and thaws
// may finish a handler that the next owner has started as well, for which
// Envelope.AssignmentEpoch is the fencing token.
//
// # Nouns
//
// A Topic[T] is the declaration of a Kafka topic and one type of event on it. An
// Envelope is one event as CloudEvents sees it. A Subscription binds a handler to
// a topic within a consumer group; its lanes are the queues of single keys. A
// Delivery is one attempt to handle an event. A parked key waits for a retry, a
// circuit breaker or its dead letter. The watermark of a partition is its lowest
// unfinished offset, which is what is committed.
//
// # Reading order
//
// topic.go and keys.go; publisher.go and sender.go, from a value to the producer;
// subscriber.go, where T ends, and group.go, from a record to the handler; bus.go,
// the life of it all; then internal/engine, which runs a group, and package
// transport, the seam below.
package eventbus
