// Package fetch reads partitions: one long poll per leader, records decoded as
// they are polled, and the position of each partition.
//
//	fetch.go      Fetcher: partitions come and go, pause and resume
//	leader.go     one goroutine for each broker that leads a partition
//	request.go    a Fetch request and what its response does to each partition
//	partition.go  a partition's position, buffered data and errors
//	position.go   truncation, out-of-range offsets, start positions
//	damage.go     records that can't be read: nothing is skipped but by an operator
//	poll.go       Poll: batches in turn, bounded, and their release
//	lag.go        how far behind the end a partition is
//	topic_ids.go  a topic deleted and created again under its name
//	listener.go   calls of the Listener, one after another
//	reader.go     Reader: partitions outside any group
package fetch
