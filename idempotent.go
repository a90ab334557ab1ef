package eventbus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/errtree"
	"github.com/eventbus-go/eventbus/internal/eventid"
)

// Inbox remembers which events were handled, for Idempotent. It fits a database's own
// transactions: Once begins one, inserts the keys, calls do with a context that carries the
// transaction, and commits; any failure rolls everything back.
//
// An Inbox must be safe for concurrent use. Two calls with the same key must not both call do
// for it: the second waits for the first, or fails and is retried.
type Inbox interface {
	// Once calls do with the indexes of the new keys, and remembers all keys if do returns
	// nil. If no key is new it does not call do. It returns do's error unchanged.
	Once(ctx context.Context, keys []string, do func(ctx context.Context, fresh []int) error) error
}

// Idempotent returns middleware that handles each event once per group, identified by
// CloudEvents source and id. Events that a crash repeats or a producer sends twice are
// acknowledged without calling the handler. How long an event is remembered is up to the
// inbox.
//
// An error of a batch fails the whole batch, even if it marks single events: what the inbox
// rolled back must be handled again.
func Idempotent(inbox Inbox) Middleware {
	if inbox == nil {
		return nil // which Use refuses
	}
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
			// About an event alone a mark says all that there is to say.
			if len(d.Events) > 1 && errtree.Contains[*BatchError](err) {
				return fmt.Errorf("the batch was rolled back: %v", err) //nolint:errorlint // its marks no longer hold
			}
			return err
		}
	}
}

// inboxKey returns the identity of an event within a group. A tombstone that is not a
// CloudEvent has no id, so its position in the log identifies it.
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

// maxInboxKey is the length, in bytes, that every database can index.
const maxInboxKey = 512

type causeKey struct{}

// CausedBy returns a handler's context in which e is the cause of published events: they get
// e's id as causation id, inherit its correlation id, and have their derived ids derived from
// it. It is for batch handlers, whose events have no single cause; e is one of
// [DeliveryFrom]'s events, which are in the order of the handler's. Outside of handlers it
// returns ctx.
func CausedBy(ctx context.Context, e *Envelope) context.Context {
	s := scopeFrom(ctx)
	if s == nil {
		return ctx
	}
	c := s.causeOf(parentIn(e))
	return context.WithValue(ctx, causeKey{}, &c)
}

// deriver sets the id of a complete event that a handler publishes.
type deriver func(s *scope, of eventid.Origin, e *Envelope, settings *publishSettings)

// deriveID derives an event's id from the handled event and from everything that the handler
// decides about it. If anything differs it is another event, which a downstream inbox must
// not drop. Equal events of one attempt are numbered.
func deriveID(s *scope, of eventid.Origin, e *Envelope, settings *publishSettings) {
	digest := derivedFrom(of, e.Topic, e.Type, "")
	digest.AddBytes(e.Key)
	digest.AddBytes(e.Data)
	digest.Add(settings.subject)
	for _, name := range slices.Sorted(maps.Keys(settings.extensions)) {
		digest.Add(name)
		digest.Add(settings.extensions[name])
	}
	for _, h := range settings.headers {
		digest.Add(h.Key)
		digest.AddBytes(h.Value)
	}
	sum := digest.Sum()
	e.ID = sum.ID(s.count(sum))
}

// derivedFrom returns the digest of an event's place in a handler.
func derivedFrom(of eventid.Origin, topic, typ, step string) *eventid.Digest {
	digest := eventid.NewDigest(of)
	digest.Add(topic)
	digest.Add(typ)
	digest.Add(step)
	return digest
}

// identifyStep sets the id of an event that has a step.
func identifyStep(ctx context.Context, topic, typ string, settings *publishSettings) error {
	if settings.id != "" {
		return errors.New("WithID and WithStep: both make the id, remove one of the two")
	}
	s := scopeFrom(ctx)
	if s == nil || s.replay {
		return nil
	}
	of := s.cause(ctx).origin
	if of.ID == "" {
		return errors.New("WithStep: there is no single event that the id could be derived from: publish with the context of CausedBy")
	}
	sum := derivedFrom(of, topic, typ, settings.step).Sum()
	if s.count(sum) > 0 {
		return fmt.Errorf("WithStep: the step %q was published before in this attempt: give each event a step of its own", settings.step)
	}
	settings.id = sum.ID(0)
	return nil
}

// count returns how often it was called with sum before in this attempt.
func (s *scope) count(sum eventid.Sum) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.derived == nil {
		s.derived = make(map[eventid.Sum]int)
	}
	n := s.derived[sum]
	s.derived[sum] = n + 1
	return n
}
