// Package photos publishes events that are too large for a record.
package photos

import (
	"context"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/claimcheck"
)

// Taken is the event that a photo was taken.
type Taken struct {
	ID     string `json:"id"`
	Pixels []byte `json:"pixels"`
}

// Claims is where large data is kept: a file system that all services mount.
var Claims = claimcheck.Dir("/mnt/claims")

// TakenTopic carries photos. Data above 256 KiB is in Claims, and the record refers
// to it.
var TakenTopic = eventbus.NewTopic(eventbus.TopicConfig[Taken]{
	Domain: "media", Name: "photo", Plural: true,
	Key:   func(t Taken) string { return t.ID },
	Codec: claimcheck.New(eventbus.JSON(), Claims, claimcheck.Config{}),
})

// Retention is longer than the topic and its dead letters keep events.
const Retention = 60 * 24 * time.Hour

// Sweep removes data that no event refers to any more. Run it once a day, anywhere.
func Sweep(ctx context.Context) (removed int, err error) {
	return Claims.Sweep(ctx, Retention)
}
