package group

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/kafka/internal/balance"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// groupTypes is what a member publishes about the types that it handles, and what it knows
// about the others'.
//
// In the classic protocol members send theirs to the leader in JoinGroup, and the leader
// returns the union with the assignments, which is exact for the generation. If the leader
// returns none, because it is of another library or an older version of this one, and always
// with KIP-848, the member asks the coordinator to describe the group. The description has what
// each member sent in JoinGroup or, with KIP-848, the IDs in its client id.
type groupTypes struct {
	// names and own are the same types. They never change.
	names map[string][]string // by topic
	own   []grouptypes.ID
	book  grouptypes.Book
	wants chan struct{} // requests a description of the group
	news  chan struct{} // what is stored for later members may have to change

	mu      sync.Mutex
	exact   bool      // the book is the leader's union of this generation
	looked  time.Time // when the group was last described since it changed; zero if it was not
	refused bool      // descriptions are refused permanently
	again   uint64
	// rejoined is set once the member has joined again because the leader returned a wrong
	// digest of its types, and still does.
	rejoined bool
	stored   storedTypes
}

// lookAge is how old a description of the group may be when types are judged by it. It is about
// a heartbeat: no change of the group is noticed sooner.
const lookAge = 3 * time.Second

// newGroupTypes returns the knowledge of a member that handles types by these names: only itself.
func newGroupTypes(names map[string][]string) *groupTypes {
	return &groupTypes{names: names, own: grouptypes.All(names), wants: make(chan struct{}, 1), news: make(chan struct{}, 1)}
}

// state returns what is known about a type.
func (h *groupTypes) state(topic, typ string) transport.TypeState {
	state := h.book.StateFor(topic, typ)
	h.mu.Lock()
	fresh := (h.exact || h.refused || time.Since(h.looked) < lookAge) && h.stored.recalled
	h.mu.Unlock()
	if !fresh {
		fetch.Signal(h.wants)
		// A type handled at the last description is held either way, so the answer need not wait.
		if !state.Live {
			return transport.TypeState{}
		}
	}
	return state
}

// subscription returns what the member reports about types in JoinGroup.
func (h *groupTypes) subscription() *balance.Types {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &balance.Types{Names: h.names, Live: h.own, Gone: h.book.Gone(), Nonce: h.again}
}

// union, called by the leader of a generation, records the types in the members' subscriptions,
// and returns what to send to all members with their assignments.
func (h *groupTypes) union(members []balance.Member) balance.Types {
	// The leader is one of the members, so its own types are included.
	all := balance.Union(members)
	h.update(all.Live, all.Gone)
	all.Gone = h.book.Gone()
	return all
}

// update records what live members handle, and what others remember.
func (h *groupTypes) update(live []grouptypes.ID, remembered []grouptypes.Gone) {
	h.book.Update(live, remembered, time.Now())
	fetch.Signal(h.news)
}

// applyAssignment records the types that came with an assignment. It reports whether the member
// must join again, because the leader does not know what it handles.
func (h *groupTypes) applyAssignment(assignment []byte) (rejoin bool) {
	t, ok := balance.DecodeAssignmentTypes(assignment)
	if ok {
		h.update(t.Live, t.Gone)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	// A leader of another library: have the members described.
	if h.exact = ok; !ok {
		h.changedLocked()
	}
	if !ok || t.Known == 0 || t.Known == balance.Digest(h.own) {
		h.rejoined = false
		return false
	}
	// Only once: a leader with another understanding of the digest would never be satisfied.
	rejoin, h.rejoined = !h.rejoined, true
	h.again++
	return rejoin
}

// changed records that the group's members may have changed since it was described.
func (h *groupTypes) changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changedLocked()
}

func (h *groupTypes) changedLocked() {
	h.looked = time.Time{}
	fetch.Signal(h.wants)
}

// describable is a group that its member can have described. It has functions in place of the
// membership, which knows groupTypes, so that each can be tested without the other.
type describable struct {
	name     string
	clientID string // of the configuration, which the members of a service share
	epochs   bool   // by the protocol of KIP-848
	ask      func(context.Context, kmsg.Request) (kmsg.Response, error)
	refused  func(code int16) error
	// joined reports whether the member is in the group, and returns a channel that is closed
	// when that, or the generation, changes.
	joined func() (in bool, changed <-chan struct{})
	log    *slog.Logger
}

// watch has the group described on request, until ctx ends.
func (h *groupTypes) watch(ctx context.Context, g *describable) {
	for failures := 0; ; {
		select {
		case <-h.wants:
		case <-ctx.Done():
			return
		}
		h.mu.Lock()
		// The signal is older than the leader's union.
		needless := h.exact || h.refused
		h.mu.Unlock()
		if needless {
			continue
		}
		err := h.look(ctx, g)
		// Even after a success: while events of unknown types come, each of them asks.
		pause := lookPause
		if err != nil && ctx.Err() == nil {
			fetch.Signal(h.wants)
			pause = max(pause, cluster.RetryCoordinator(err, failures+1))
			failures++
		} else {
			failures = 0
		}
		cluster.Pause(ctx, pause)
	}
}

const (
	// lookPause is the minimum time between two descriptions.
	lookPause = 100 * time.Millisecond
	// lookPatience bounds one description.
	lookPatience = 10 * time.Second
)

// look asks the coordinator which types the members handle. It returns nil if asking again
// can't help.
func (h *groupTypes) look(ctx context.Context, g *describable) error {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	in, changed := g.joined()
	if !in {
		return errNotIn
	}
	// Before the request: a member that joins later may be missing from the answer.
	asked := time.Now()
	live, whole, err := g.types(ctx)
	switch {
	case err == nil:
	case errors.Is(err, transport.ErrUnauthorized), errors.Is(err, kerr.UnsupportedVersion):
		g.log.Warn("the types that other members of the group handle stay unknown: events of types that this member does not handle are not held for them",
			"group", g.name, "error", err)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.refused = true
		return nil
	default:
		return fmt.Errorf("describing group %q: %w", g.name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.exact {
		return nil // an assignment came meanwhile, which is exact
	}
	live = append(live, h.own...)
	if !whole && len(h.own) > 0 {
		// What is shown is handled; about the rest nothing is known.
		h.update(append(live, h.book.Live()...), nil)
		return errSilent
	}
	h.update(live, nil)
	select {
	case <-changed: // and may have changed before it was described
	default:
		h.looked = asked
	}
	return nil
}

var (
	errNotIn  = errors.New("the member is not in the group")
	errSilent = errors.New("a member by the classic protocol does not show what it handles")
)

// types returns the types of all members, including this one. whole is false if another member
// of this library does not show its types: with members of KIP-848 in the group, nobody sees the
// subscriptions of classic members, and their client ids don't contain types.
func (g *describable) types(ctx context.Context) (live []grouptypes.ID, whole bool, err error) {
	d, err := describeGroup(ctx, g.ask, g.refused, g.name, g.epochs)
	if err != nil {
		return nil, false, err
	}
	if !d.epochs && d.state != "Stable" {
		return nil, false, kerr.RebalanceInProgress // the members' subscriptions are not shown
	}
	silent := 0
	for _, shown := range d.members {
		if d.epochs {
			types := ClientTypes(shown.clientID)
			live = append(live, types...)
			if len(types) == 0 && shown.clientID == g.clientID {
				silent++
			}
		} else if t, ok := balance.DecodeTypes(shown.subscription); ok {
			live = append(live, t.Live...)
		}
	}
	if d.epochs && !g.epochs {
		silent-- // this one
	}
	return live, silent <= 0, nil
}

// With KIP-848 the only metadata of a member that others see is its client id. So heartbeats,
// and no other requests, carry the IDs of the member's types after the configured client id:
// quotas and metrics by client id, which the other requests count for, stay as they are.
const (
	// clientTypes separates the configured client id from the list, which is in base64 for
	// URLs: brokers use client ids in names of metrics.
	clientTypes = ".types-"
	// MaxClientTypes bounds the types, so that the client id stays below some 550 characters.
	MaxClientTypes = 96
)

// clientID returns the client id for heartbeats.
func clientID(id string, types []grouptypes.ID) string {
	if len(types) == 0 {
		return id
	}
	// Four bytes each, in network order. own is sorted, so the same types give the same id.
	var raw []byte
	for _, t := range types {
		raw = binary.BigEndian.AppendUint32(raw, uint32(t))
	}
	return id + clientTypes + base64.RawURLEncoding.EncodeToString(raw)
}

// ClientTypes returns the types in a client id, which may be any client's; without a list there
// are none.
func ClientTypes(id string) (types []grouptypes.ID) {
	// The last one, as the configured client id may contain the same text.
	at := strings.LastIndex(id, clientTypes)
	if at < 0 {
		return nil
	}
	list := id[at+len(clientTypes):]
	// Check before decoding: a client id may have any length.
	if len(list) > base64.RawURLEncoding.EncodedLen(4*MaxClientTypes) {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(list)
	if err != nil || len(raw)%4 != 0 {
		return nil
	}
	for ; len(raw) > 0; raw = raw[4:] {
		types = append(types, grouptypes.ID(binary.BigEndian.Uint32(raw)))
	}
	return types
}
