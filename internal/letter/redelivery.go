package letter

import (
	"strconv"

	"github.com/eventbus-go/eventbus/internal/wire"
)

// Redelivered sets the redelivery count and the origin of e from its headers.
// Producers outside can write these headers too; values that are not numbers
// read as 0, since a wrong count must not make an event unreadable.
func Redelivered(e *wire.Event) {
	for i := range e.Headers {
		switch h := &e.Headers[i]; h.Key {
		case Redeliveries:
			e.Redeliveries, _ = strconv.Atoi(string(h.Value))
		case OriginTopic:
			e.Origin.Topic = string(h.Value)
		case OriginPartition:
			n, _ := strconv.ParseInt(string(h.Value), 10, 32)
			e.Origin.Partition.Partition = int32(n)
		case OriginOffset:
			e.Origin.Offset, _ = strconv.ParseInt(string(h.Value), 10, 64)
		}
	}
}
