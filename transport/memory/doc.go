// Package memory is a transport without a broker: a partitioned log in the
// process, with consumer groups, committed offsets and the faults that a real
// cluster has, each at a call.
//
// A [Cluster] does everything at once and under one lock: a record is in its log
// before Produce returns, a member joins before NewConsumer returns. Nothing of it
// runs by time but what a fault makes wait, so a test sees the same order of
// things on every run, and a synctest bubble that holds a Cluster comes to rest.
// Each consumer has one goroutine, which calls its Listener; nothing else has any.
//
// Release of a Batch overwrites the memory of its records, header keys included,
// with words that say so, and panics when it is called twice. A driver that pools
// its buffers gives that memory to another batch, so a test on a Cluster shows each
// time what would corrupt an event in production now and then.
//
// What a cluster of brokers leaves to chance is fixed here: members get
// partitions in the order in which they joined, keyless records go round the
// partitions one by one, and partitions that move are handed over when every
// Revoked of the group has returned.
package memory
