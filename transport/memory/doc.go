// Package memory is a transport without a broker: a partitioned log in the process, with
// consumer groups, committed offsets, and the faults of a real cluster, each caused by a
// method call.
//
// A [Cluster] does everything at once and under one lock: a record is in its log before
// Produce returns, and a member has joined before NewConsumer returns. Only faults that
// delay something use timers, so a test sees the same sequence on every run, and a synctest
// bubble that contains a Cluster becomes idle. Each consumer has one goroutine, which calls
// its Listener; there are no others.
//
// Releasing a Batch overwrites the memory of its records, header keys included, with a text
// that says so; releasing it twice panics. A driver that pools its buffers gives that memory
// to another batch, so a test on a Cluster always shows what would corrupt an event in
// production now and then.
//
// What is random in a cluster of brokers is fixed here: members get partitions in the order
// of joining, keyless records go to the partitions in turn, and partitions move once every
// Revoked of the group has returned.
package memory
