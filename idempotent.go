package eventbus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"github.com/eventbus-go/eventbus/internal/errtree"
)

// Inbox remembers which events were handled, for Idempotent. It fits a
// database's own transaction: Once begins one, inserts the keys, calls do with a
// context that carries the transaction, and commits; any failure rolls all of it
// back.
//
// An Inbox is used concurrently. Two calls with one key must not both call do
// for it: the second waits for the first, or fails and is retried.
type Inbox interface {
	// Once calls do with the indexes of the keys that are new, or not at all if
	// none is, and remembers all keys if do returns nil. It returns do's error
	// unchanged.
	Once(ctx context.Context, keys []string, do func(ctx context.Context, fresh []int) error) error
}

// Idempotent is middleware that handles each event once per group, identified by
// CloudEvents source and id. Events that a crash repeats or a producer sends
// twice are acknowledged without calling the handler. The inbox decides for how
// long it remembers.
//
// Within a batch an error fails the whole batch, even one that marks single
// events: what the inbox rolled back must be handled again.
func Idempotent(inbox Inbox) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, d *Delivery) error {
			keys := make([]string, len(d.Events))
			for i, e := range d.Events {
				keys[i] = inboxKey(d.Group, e)
			}
			err := inbox.Once(ctx, keys, func(ctx context.Context, fresh []int) error {
				if len(fresh) == 0 {
					return nil
				}
				if len(fresh) == len(d.Events) {
					return next(ctx, d)
				}
				rest := *d
				rest.Events = make([]*Envelope, len(fresh))
				for i, j := range fresh {
					rest.Events[i] = d.Events[j]
				}
				return next(ctx, &rest)
			})
			if errtree.Contains[*BatchError](err) {
				return fmt.Errorf("the batch was rolled back: %v", err) //nolint:errorlint // its marks no longer hold
			}
			return err
		}
	}
}

// inboxKey returns the identity of an event within a group. A tombstone that is
// not a CloudEvent has no id, so its position in the log identifies it.
func inboxKey(group string, e *Envelope) string {
	parts := []string{group, e.Source, e.ID}
	if e.ID == "" {
		parts = []string{group, e.Topic, fmt.Sprintf("%d@%d", e.Partition, e.Offset)}
	}
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	key := strings.Join(parts, " ")
	if len(key) > maxInboxKey {
		sum := sha256.Sum256([]byte(key))
		key = key[:maxInboxKey-1-2*len(sum)] + "~" + hex.EncodeToString(sum[:])
	}
	return key
}

// maxInboxKey is what every database can index, in bytes.
const maxInboxKey = 512
