// Package fetch reads partitions. It sends long polls to their leaders, decodes records as they
// are polled, and keeps the position of each partition.
//
//	fetch.go      Fetcher: partitions come and go, pause and resume
//	leader.go     one goroutine for each broker that leads a partition
//	request.go    a Fetch request and how its response changes each partition
//	partition.go  a partition's position, buffered data and errors
//	position.go   truncation, out-of-range offsets, start positions
//	damage.go     records that can't be read: only an operator may skip them
//	poll.go       Poll: bounded batches, in turn, and their release
//	lag.go        how far a partition is behind its end
//	topic_ids.go  a topic that was deleted and created again
//	listener.go   calls of the Listener, one at a time
//	reader.go     Reader: partitions outside any group
package fetch
