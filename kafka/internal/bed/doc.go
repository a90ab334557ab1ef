// Package bed runs Kafka's protocol in the process of a test: brokers of another
// project's making, a network that the test can cut, and a foreign client that
// reads what the brokers hold.
//
//	bed.go      Bed: brokers, the network, and the log of a partition
//	records.go  sample records, outcomes to wait for, a flow of events, transactions
//
// It imports no room that makes connections, so that each of them can be tested
// on it from within.
//
// Tests that wait for time run in a bubble of testing/synctest on brokers in memory
// (Bubble, NewBubble): minutes pass at once there, and assertions about time are exact.
// Tests that need real connections, because they cut them or count them, use NewBed.
//
// The brokers are kfake's. They do not check everything that Apache Kafka checks, nor
// in the same order; what depends on that is tested on a real one as well.
package bed
