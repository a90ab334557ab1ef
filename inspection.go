package eventbus

import (
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/inspect"
)

// Inspection is the state of a bus at one moment, for operators. It contains
// keys of events and texts of errors, and no other data of events.
type Inspection struct {
	Service string            `json:"service"`
	Groups  []GroupInspection `json:"groups"` // by name
	// OpenBrokers are those that nothing is published to at the moment: their
	// publishing circuit breakers are open, and do not probe yet.
	OpenBrokers []int32 `json:"openBrokers"`
}

// GroupInspection is a consumer group, as this member of it sees it.
type GroupInspection struct {
	Name string `json:"name"`
	// State of the membership; Joined where it has partitions or waits for some,
	// Alive while the group counts it in.
	State         string                   `json:"state"`
	Joined        bool                     `json:"joined"`
	Alive         bool                     `json:"alive"`
	Error         string                   `json:"error,omitempty"` // the membership's last
	Records       int64                    `json:"records"`         // in hand: fetched and not finished
	Bytes         int64                    `json:"bytes"`
	ParkedKeys    int64                    `json:"parkedKeys"`
	ParkedBytes   int64                    `json:"parkedBytes"`
	Held          []HeldType               `json:"held"`      // by topic and type
	Abandoned     int64                    `json:"abandoned"` // attempts cut off at a drain bound
	Subscriptions []SubscriptionInspection `json:"subscriptions"`
	Partitions    []PartitionInspection    `json:"partitions"` // that this member has
}

// HeldType is a type of event that this member does not handle, and of which it
// holds events for a member that does.
type HeldType struct {
	Topic     string `json:"topic"`
	Type      string `json:"type"`
	Keys      int64  `json:"keys"`
	Events    int64  `json:"events"` // of those keys, of whatever type
	WaitingMs int64  `json:"waitingMs"`
	// Live says that a member handles the type now: its events wait until that
	// member has their partitions. Else its last handler has left, or this member is
	// finding out, and the policy for unknown types applies after UntilMs more.
	Live    bool  `json:"live"`
	UntilMs int64 `json:"untilMs"`
}

// SubscriptionInspection is one subscription. Until the group has started, only
// its names and Paused are set.
type SubscriptionInspection struct {
	Name        string `json:"name"` // for Pause and Resume
	Topic       string `json:"topic"`
	Type        string `json:"type,omitempty"` // empty for that of the tombstones, "*" for OnAny
	Paused      bool   `json:"paused"`
	Limited     bool   `json:"limited"` // events wait for its RateLimit
	Concurrency int    `json:"concurrency"`
	Running     int    `json:"running"` // attempts under way
	Stuck       int    `json:"stuck"`   // of which ignore their timeout
	LongestMs   int64  `json:"longestMs"`
	Breaker     string `json:"breaker,omitempty"` // closed, open or half-open
	Discarded   int64  `json:"discarded"`         // events, since the start: see Discard
}

// PartitionInspection is one assigned partition. Each offset is the next one to
// be handled, fetched or committed.
type PartitionInspection struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Watermark int64  `json:"watermark"` // lowest unfinished offset
	Next      int64  `json:"next"`
	Committed int64  `json:"committed"`
	Lag       int64  `json:"lag"`     // from the watermark to the last stable offset; −1 if unknown
	Records   int64  `json:"records"` // in hand
	Lanes     int    `json:"lanes"`   // keys in hand
	Running   int64  `json:"running"`
	Beyond    int64  `json:"beyond"` // finished beyond the watermark
	Paused    bool   `json:"paused"` // its fetching, by back-pressure
	// StalledMs is how long the first unfinished event has kept the watermark
	// where it is.
	StalledMs int64 `json:"stalledMs"`
	// BehindMs is the age of the first unfinished event in hand, by the record's time:
	// the lag in time. 0 if nothing is in hand.
	BehindMs   int64 `json:"behindMs"`
	ParkedKeys int64 `json:"parkedKeys"`
	// Parked are the keys that have waited longest, at most 100.
	Parked []ParkedKey `json:"parked"`
}

// ParkedKey is a key whose first event waits, and all its later events with it.
type ParkedKey struct {
	Key    string `json:"key,omitempty"` // where it is text, as UTF-8
	Raw    []byte `json:"keyBase64"`     // the same bytes in any case; null for an event without a key
	Offset int64  `json:"offset"`        // of the event that waits
	// State is "retry", "breaker open", "awaiting dead letter" or "held": by a
	// type that no handler here knows.
	State     string `json:"state"`
	WaitingMs int64  `json:"waitingMs"` // since the first failure
	// DueMs is how long the next attempt, or the next write of the dead letter, is
	// away; 0 for a key that waits for something other than a time.
	DueMs    int64  `json:"dueMs"`
	Attempts int    `json:"attempts"`
	Bytes    int64  `json:"bytes"`           // of the event and of those behind it
	Error    string `json:"error,omitempty"` // of the last attempt, or of the dead letter's last write
}

// Inspect returns the state of the bus without asking a broker. It may be called
// at any time, also concurrently.
func (o Operator) Inspect() Inspection {
	b := o.bus
	all := Inspection{Service: b.config.Service, Groups: []GroupInspection{}, OpenBrokers: append([]int32{}, b.publishing.Open()...)}
	slices.Sort(all.OpenBrokers)
	for _, g := range b.sortedGroups() {
		all.Groups = append(all.Groups, b.inspectGroup(g))
	}
	return all
}

// sortedGroups returns the groups by name, so that two inspections can be
// compared.
func (b *Bus) sortedGroups() []*group {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.groups), func(x, y *group) int { return strings.Compare(x.name, y.name) })
}

// inspectGroup returns the state of one group from one snapshot of its engine,
// so that its parts fit together.
func (b *Bus) inspectGroup(g *group) GroupInspection {
	look := GroupInspection{Name: g.name, State: "not started", Partitions: []PartitionInspection{}, Held: []HeldType{}, Subscriptions: []SubscriptionInspection{}}
	b.mu.Lock()
	for _, t := range g.topics {
		for typ, sub := range t.all {
			look.Subscriptions = append(look.Subscriptions, SubscriptionInspection{Name: sub.Name, Topic: t.name, Type: typ, Paused: sub.Held()})
		}
	}
	b.mu.Unlock()
	// Not slices.SortFunc: of that a program links 20 kB for each large type.
	sort.Slice(look.Subscriptions, func(i, k int) bool { return look.Subscriptions[i].Name < look.Subscriptions[k].Name })
	e := g.engine.Load()
	if e == nil {
		return look
	}
	s := e.Snapshot()
	look.State, look.Joined, look.Alive = s.Member.State, s.Member.Joined, s.Alive
	if s.Member.LastError != nil {
		look.Error = s.Member.LastError.Error()
	}
	look.Records, look.Bytes, look.Abandoned = s.Records, s.Bytes, s.Abandoned
	look.ParkedKeys, look.ParkedBytes = s.ParkedKeys, s.ParkedBytes
	for _, h := range s.Held {
		held := HeldType{Topic: h.Topic, Type: h.Type, Keys: h.Keys, Events: h.Events, WaitingMs: h.Longest.Milliseconds(), Live: h.Live}
		if !h.Live {
			held.UntilMs = max(time.Until(h.Until).Milliseconds(), 0)
		}
		look.Held = append(look.Held, held)
	}
	running := make(map[string]*engine.SubscriptionSnapshot, len(s.Subscriptions))
	for i := range s.Subscriptions {
		running[s.Subscriptions[i].Name] = &s.Subscriptions[i]
	}
	for i := range look.Subscriptions {
		look.Subscriptions[i].take(running[look.Subscriptions[i].Name])
	}
	for i := range s.Partitions {
		look.Partitions = append(look.Partitions, inspectPartition(&s.Partitions[i]))
	}
	return look
}

func (s *SubscriptionInspection) take(now *engine.SubscriptionSnapshot) {
	if now == nil {
		return
	}
	s.Limited = now.Limited
	s.Paused, s.Concurrency, s.Running, s.Stuck = now.Held, now.Concurrency, now.Running, now.Stuck
	s.LongestMs, s.Breaker, s.Discarded = now.Longest.Milliseconds(), now.Breaker, now.Discarded
}

func inspectPartition(p *engine.PartitionSnapshot) PartitionInspection {
	look := PartitionInspection{
		Topic: p.Partition.Topic, Partition: p.Partition.Partition,
		Watermark: p.Watermark, Next: p.Next, Committed: p.Committed, Lag: lagOf(p),
		Records: p.Records, Lanes: p.Lanes, Running: p.Running, Beyond: p.Beyond, Paused: p.Paused,
		StalledMs: p.OldestAge.Milliseconds(), ParkedKeys: p.ParkedKeys, Parked: []ParkedKey{},
	}
	if !p.Oldest.IsZero() {
		look.BehindMs = max(time.Since(p.Oldest).Milliseconds(), 0)
	}
	for _, k := range p.Parked {
		parked := ParkedKey{
			Raw: k.Key, Offset: k.Offset, State: k.State, WaitingMs: k.Waiting.Milliseconds(), DueMs: k.Due.Milliseconds(),
			Attempts: k.Attempts, Bytes: k.Queued, Error: k.Error,
		}
		if utf8.Valid(k.Key) {
			parked.Key = string(k.Key)
		}
		look.Parked = append(look.Parked, parked)
	}
	return look
}

// Snapshot returns the state of the bus for the test kit of this module. It never
// waits.
func (o Operator) Snapshot() inspect.Bus {
	b := o.bus
	select {
	case b.life <- struct{}{}:
	default:
		return inspect.Bus{Changing: true}
	}
	defer b.leave()
	state := b.state.Load()
	s := inspect.Bus{Started: state == stateStarted, Ended: state > stateStarted}
	b.mu.Lock()
	groups := slices.Collect(maps.Values(b.groups))
	b.mu.Unlock()
	for _, g := range groups {
		seen := inspect.Group{Name: g.name, Topics: slices.Sorted(maps.Keys(g.topics))}
		if e := g.engine.Load(); e != nil {
			seen.Snapshot = e.Snapshot()
		}
		s.Groups = append(s.Groups, seen)
	}
	return s
}

// Declarations returns the topics that the bus publishes and handles up to now,
// for packages of this module.
func (o Operator) Declarations() declare.Uses {
	b := o.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	uses := declare.Uses{Service: b.config.Service, Environment: b.config.Environment, Logger: b.config.Logger}
	published := make(map[[2]string]bool, len(b.topics.senders))
	for _, out := range b.topics.senders {
		published[[2]string{out.decl.Suffix, out.decl.Typ}] = true
	}
	for _, d := range b.topics.types {
		use := declare.Use{Topic: d, Published: published[[2]string{d.Suffix, d.Typ}]}
		for name, g := range b.groups {
			t := g.topics[d.In(b.config.env)]
			if t == nil {
				continue
			}
			use.Groups = append(use.Groups, name)
			if t.letters.chosen {
				use.Letters = append(use.Letters, declare.Letters{Group: name, DeadLetterTopic: t.shared.dead.value, RetryTopic: t.shared.retry.value})
			}
		}
		uses.Topics = append(uses.Topics, use)
	}
	return uses
}
