// Package kafkatest tests services that use the event bus, without a server.
//
//	func TestWelcome(t *testing.T) {
//		cluster := kafkatest.NewMemory(t)
//		cluster.Start(t, eventbus.On(sales.CustomerCreatedTopic, mailer.Welcome))
//		kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, ada, nobody)
//		cluster.Settle(t)
//		kafkatest.Handled(t, cluster, sales.CustomerCreatedTopic, ada)
//		kafkatest.DeadLettered(t, cluster, sales.CustomerCreatedTopic, nobody)
//	}
//
// A [Cluster] is in memory ([NewMemory]), in a broker inside the process that
// speaks the Kafka protocol ([NewBroker]), or on real brokers ([Open]): one test
// body runs on all of them. [Cluster.Bus] and [Cluster.Start] make buses on it,
// [Cluster.Module] puts an fx application on it as it is. [Cluster.Settle] waits
// until all that was published has been dealt with; [Published], [Handled] and
// [DeadLettered] tell what became of it, and with events to compare with fail
// the test where they differ.
//
// [FailPublishes], [FailHandlers], [FailDeadLetters], [Duplicate], [Redeliver],
// [HoldPartition], [Cluster.Rebalance] and [Cluster.Disconnect] cause what goes
// wrong in production; package [github.com/eventbus-go/eventbus/kafkatest/check]
// does so by chance, and judges what came of it.
//
// What a bus lends to a handler ends with the handler on every cluster: an envelope
// that it kept reads "used after release", and one that it wrote to fails the test.
// A handler that calls t.FailNow, or runtime.Goexit otherwise, fails the test at its
// next wait, with the line that did so.
//
// Everything ends with the test, by its Cleanup. In memory, and on NewBroker, it
// all works inside a bubble of testing/synctest too, where an hour of backoff
// takes milliseconds.
package kafkatest
