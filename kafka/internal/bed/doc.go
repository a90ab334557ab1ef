// Package bed runs Kafka's protocol in a test's process: brokers of another project, a
// network that the test can cut, and a foreign client that reads the brokers' logs.
//
//	bed.go      Bed: brokers, the network, and the log of a partition
//	records.go  sample records, outcomes to wait for, a flow of events, transactions
//
// It imports no package that makes connections, so that the internal tests of those
// packages can use it.
//
// Tests that wait for time run in a bubble of testing/synctest on brokers in memory
// (Bubble, NewBubble): minutes pass at once there, and assertions about time are exact.
// Tests that need real connections, because they cut them or count them, use NewBed.
//
// The brokers are kfake's. They do not check everything that Apache Kafka checks, nor
// in the same order; tests that depend on that also run on a real one.
package bed
