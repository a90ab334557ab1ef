// Package eventbus publishes and handles typed events over Apache Kafka. It loses
// no event, keeps the events of a key in order, does not stall, and can be tested
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
//     policy that was configured and is counted. Only then may the committed
//     watermark pass its offset. While the dead-letter topic is out of reach the
//     key waits; nothing is skipped.
//  3. Key order. Events with one key are handled one at a time, in log order, even
//     while one of them is being retried, across lanes, rebalances and restarts,
//     until the event has ended. Different keys run side by side.
//  4. At least once, with bounded duplicates. A clean stop or a clean rebalance
//     repeats nothing. A crash repeats at most what was running or finished since
//     the last commit. Events finished beyond the watermark by then are not
//     repeated: the commit's metadata lists them.
//  5. No stall. One slow, failing or poisonous key holds up only itself. Waits are
//     bounded, and health tells the truth about progress.
//  6. Bounded. Configuration bounds memory, whatever the backlog. Back-pressure
//     stops fetching, and never leaves the group.
//  7. Clean end. Shutdown stops fetching, finishes running handlers, commits, leaves
//     the group and flushes publishers, all within the caller's context, and leaks
//     no goroutine.
//  8. Plain on the wire. Records are CloudEvents 1.0 in the Kafka protocol binding.
//     Every other client can read them without this package.
//  9. Published if, and only if, committed. Through the outbox of module postgres
//     an event is published when its transaction commits, and never otherwise, in
//     the order of its key. Through the inbox it is handled once.
//
// Each has tests that carry its number (TestPromise1…); docs/reliability.md says how
// they are shown and where they end. The limits: order holds per partition, so adding
// partitions to a topic breaks the order of a key once; a dead letter leaves a gap in
// its key's order; and a process that freezes for longer than its session may, once it
// resumes, finish a handler that the next owner has started too. Use
// Envelope.AssignmentEpoch as a fencing token against that.
//
// # Nouns
//
// A Topic[T] declares a Kafka topic and one type of event on it. An Envelope is one
// event as CloudEvents sees it. A Subscription binds a handler to a topic within a
// consumer group; its lanes are the queues of single keys. A Delivery is one attempt
// to handle an event. A parked key waits for a retry, a circuit breaker or its dead
// letter. The watermark of a partition is its lowest unfinished offset, the one that
// is committed.
//
// # Files
//
// In reading order, from a declaration to the log and back:
//
//	topic.go              Topic[T] and TopicConfig: declaring, encoding, decoding
//	topic_declaration.go  checks of a declaration, alone and beside a bus's others
//	codec.go              Codec, and JSON by default
//	format.go             topics of other programs: Format, Partitioner, and their checks
//	envelope.go           Envelope: the attributes of an event, and its record
//
//	bus.go                the life of a bus: New, Add, Start, Drain, Close, Run
//	config.go             Config: defaults and checks
//	provision.go          creating topics that are missing at the start
//	errors.go             sentinels, Error, BatchError, and what a handler may return
//	health.go             how a bus judges its own progress
//
//	publisher.go          Publisher[T]: from a value to an envelope; T ends here
//	publish_option.go     options of one publish
//	sender.go             from an envelope to the producer, for one topic of the bus
//	publish_envelope.go   envelopes made elsewhere: outboxes and bridges
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
//	replay.go             Replay: past events handled again, and the report
//	replay_run.go         one replay from start to end
//
// The layers below are internal/engine, which runs a group; internal/wire, the form of
// events in records; internal/telemetry, which watches; and package transport, the
// boundary to Kafka.
package eventbus
