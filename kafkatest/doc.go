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
// [Cluster.Module] runs an unchanged fx application on it. [Cluster.Settle] waits
// until everything that was published has been dealt with. [Published], [Handled]
// and [DeadLettered] return what became of the events and, with events to compare
// with, fail the test if they differ.
//
// [FailPublishes], [FailHandlers], [FailDeadLetters], [Duplicate], [Redeliver],
// [HoldPartition], [Cluster.Rebalance] and [Cluster.Disconnect] cause what goes
// wrong in production. Package [github.com/eventbus-go/eventbus/kafkatest/check]
// does so at random and judges the outcome.
//
// What a bus lends to a handler expires when the handler returns, on every cluster: an
// envelope that the handler kept reads "used after release", and one that it wrote to
// fails the test. A handler that calls t.FailNow, or runtime.Goexit in any other way,
// fails the test at the test's next wait, which names the line of the call.
//
// Everything ends with the test, by its Cleanup. In memory and on NewBroker
// everything also works inside a testing/synctest bubble, where an hour of backoff
// takes milliseconds.
package kafkatest
