// Package bed runs Kafka's protocol in the process of a test: brokers of another
// project's making, a network that the test can cut, and a foreign client that
// reads what the brokers hold.
//
//	bed.go      Bed: brokers, the network, and the log of a partition
//	records.go  sample records, outcomes to wait for, a flow of events, transactions
//
// It imports no room that makes connections, so that each of them can be tested
// on it from within.
package bed
