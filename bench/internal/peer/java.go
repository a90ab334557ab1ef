package peer

import (
	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// javaPeer is Apache Kafka's own client, as kafka-producer-perf-test and
// kafka-consumer-perf-test use it. They write random bytes without keys and headers, and
// drop what they read, so they do not encode, decode, or check types.
var javaPeer = Peer{Name: Java, Tool: true}

// RecordBytes returns the size of an order's key, value and headers, in bytes. Tools write
// records of that size.
func RecordBytes(o event.Order) (int, error) {
	r, err := franzRecord(o)
	if err != nil {
		return 0, err
	}
	size := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return size, nil
}
