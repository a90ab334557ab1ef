package eventbus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Inbox remembers which events were handled, for Idempotent. It is made for a
// database's own transaction: Once begins one, enters the keys, runs do with a
// context that carries it, and commits; whatever fails rolls back all of it.
//
// An Inbox is used concurrently. Two calls with one key must not both run do
// with it: the second waits for the first, or fails and is retried.
type Inbox interface {
	// The keys are printable ASCII of at most 512 bytes each. Once runs do with the indexes of the keys that are new (none of them
	// may mean not running it at all) and remembers all keys if do returns
	// nil. It returns do's error as it is.
	Once(ctx context.Context, keys []string, do func(ctx context.Context, fresh []int) error) error
}

// Idempotent is middleware that handles each event once per group, told apart by
// CloudEvents source and id: what a crash repeats, or a producer sent twice, is
// let through to the end without its handler. How long it remembers is the
// inbox's to say.
//
// Within a batch, an error fails the whole batch, also one that marks single
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
			if _, ok := errors.AsType[*BatchError](err); ok {
				return fmt.Errorf("the batch was rolled back: %v", err) //nolint:errorlint // its marks no longer hold
			}
			return err
		}
	}
}

// inboxKey returns the text that identifies an event within a group: group,
// source and id, percent-encoded as path segments are and separated by spaces. It
// is printable ASCII of at most 512 bytes; of a longer one the end gives way to a
// SHA-256. Inboxes keep it, so it never changes.
//
// A tombstone that is no CloudEvent has no id: its place in the log stands for it.
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
