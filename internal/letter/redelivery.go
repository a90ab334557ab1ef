package letter

import (
	"errors"
	"math"
	"strconv"

	"github.com/eventbus-go/eventbus/internal/wire"
)

// Redelivered sets the redelivery count and the origin of e from its headers.
// Producers outside can write these headers too; values that are no numbers, or
// below 0, read as 0, since a wrong count must not make an event unreadable.
func Redelivered(e *wire.Event) {
	for i := range e.Headers {
		switch h := &e.Headers[i]; h.Key {
		case Redeliveries:
			e.Redeliveries = int(number(h.Value, mostRedeliveries))
		case OriginTopic:
			e.Origin.Topic = string(h.Value)
		case OriginPartition:
			e.Origin.Partition.Partition = int32(number(h.Value, math.MaxInt32)) //nolint:gosec // bounded
		case OriginOffset:
			e.Origin.Offset = number(h.Value, math.MaxInt64)
		}
	}
}

// mostRedeliveries bounds a redelivery count, so that one more does not wrap
// around to a negative number.
const mostRedeliveries = 1_000_000

// number returns the number that a header has, up to most, and 0 for what is no
// number.
func number(text []byte, most int64) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return min(max(n, 0), most)
}
