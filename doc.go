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
//  9. Published if, and only if, committed. Through the outbox of module postgres
//     an event is published when its transaction commits, and never otherwise, in
//     the order of its key; through the inbox it is handled once.
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
// # Files
//
// In reading order, from a declaration to the log and back:
//
//	topic.go              Topic[T] and TopicConfig: declaring, encoding, decoding
//	topic_declaration.go  the checks of a declaration, and those of a bus beside each other
//	codec.go              Codec, and JSON by default
//	format.go             topics of other programs: Format, Partitioner, and their checks
//	envelope.go           Envelope: the attributes of an event, and its record
//
//	bus.go                the life of a bus: New, Add, Start, Drain, Close, Run
//	config.go             Config: defaults and checks
//	provision.go          topics that are missing at the start
//	errors.go             sentinels, Error, BatchError, and what a handler may return
//	health.go             how a bus judges its own progress
//
//	publisher.go          Publisher[T]: from a value to an envelope; T ends here
//	publish_option.go     options of one publish
//	sender.go             from an envelope to the producer, for one topic of the bus
//	publish_envelope.go   envelopes of others: outboxes and bridges
//	receipt.go            outcomes of publishes, one by one and in batches
//	transactor.go         envelopes in transactions, for an outbox
//
//	subscriber.go         On, OnBatch, OnDelete, OnAny: a handler of T; T begins here
//	subscribe_option.go   options of a subscription
//	hook.go               options that have a group call a function
//	by_type.go            Publish and Handle, which find the topic by the event's Go type
//	group.go              a consumer group: its subscriptions, and an engine that runs it
//	attempt.go            one call of a handler, and how its error is classified
//	delivery.go           Delivery, Handler, Middleware, and a handler's context
//	idempotent.go         Idempotent and its Inbox; ids that an attempt derives from its event
//	dead_letter.go        events that can't be handled
//
//	operate.go            Operator: pausing, resuming, unparking, skipping
//	inspection.go         what an operator sees of a bus
//	replay.go             Replay: events of the past, handled again, and the report of it
//	replay_run.go         one replay from start to end
//
// Below are internal/engine, which runs a group; internal/wire, the form of events
// in records; internal/telemetry, which watches; and package transport, the seam
// to Kafka.
package eventbus
