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

// Inspection is the state of a bus at one moment, for operators. It contains keys of events
// and texts of errors, and no other data of events.
type Inspection struct {
	Service string            `json:"service"`
	Groups  []GroupInspection `json:"groups"` // by name
	// OpenBrokers are the brokers that nothing is published to at the moment: their
	// publishing circuit breakers are open and not probing yet.
	OpenBrokers []int32 `json:"openBrokers"`
}

// GroupInspection is a consumer group as this member sees it.
type GroupInspection struct {
	Name string `json:"name"`
	// State is the state of the membership. Joined reports whether the member has
	// partitions or waits for some, Alive whether the group still counts it as a member.
	State         string                   `json:"state"`
	Joined        bool                     `json:"joined"`
	Alive         bool                     `json:"alive"`
	Error         string                   `json:"error,omitempty"` // of the membership, the last one
	Records       int64                    `json:"records"`         // fetched and not finished
	Bytes         int64                    `json:"bytes"`
	ParkedKeys    int64                    `json:"parkedKeys"`
	ParkedBytes   int64                    `json:"parkedBytes"`
	Held          []HeldType               `json:"held"`      // by topic and type
	Abandoned     int64                    `json:"abandoned"` // attempts cut off when a drain ran out of time
	Subscriptions []SubscriptionInspection `json:"subscriptions"`
	Partitions    []PartitionInspection    `json:"partitions"` // assigned to this member
}

// HeldType is a type of event that this member does not handle, and whose events it holds for
// a member that does.
type HeldType struct {
	Topic     string `json:"topic"`
	Type      string `json:"type"`
	Keys      int64  `json:"keys"`
	Events    int64  `json:"events"` // of those keys, of any type
	WaitingMs int64  `json:"waitingMs"`
	// Live reports whether a member handles the type now: its events wait until that member
	// owns their partitions. If false, the last member that handled it has left, or this
	// member has yet to find out, and the policy for unknown types applies after UntilMs.
	Live    bool  `json:"live"`
	UntilMs int64 `json:"untilMs"`
}

// SubscriptionInspection is one subscription. Until the group has started, only the names and
// Paused are set.
type SubscriptionInspection struct {
	Name        string `json:"name"` // for Pause and Resume
	Topic       string `json:"topic"`
	Type        string `json:"type,omitempty"` // empty for tombstones, "*" for OnAny
	Paused      bool   `json:"paused"`
	Limited     bool   `json:"limited"` // events wait for its RateLimit
	Concurrency int    `json:"concurrency"`
	Running     int    `json:"running"` // running attempts
	Stuck       int    `json:"stuck"`   // those that ignore their timeout
	LongestMs   int64  `json:"longestMs"`
	Breaker     string `json:"breaker,omitempty"` // closed, open or half-open
	Discarded   int64  `json:"discarded"`         // events since the start: see Discard
}

// PartitionInspection is one assigned partition. Each offset is the next one to be handled,
// fetched or committed.
type PartitionInspection struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Watermark int64  `json:"watermark"` // lowest unfinished offset
	Next      int64  `json:"next"`
	Committed int64  `json:"committed"`
	Lag       int64  `json:"lag"`     // from the watermark to the last stable offset; −1 if unknown
	Records   int64  `json:"records"` // fetched and not finished
	Lanes     int    `json:"lanes"`   // keys with such records
	Running   int64  `json:"running"`
	Beyond    int64  `json:"beyond"` // finished beyond the watermark
	Paused    bool   `json:"paused"` // fetching, by back-pressure
	// StalledMs is how long the first unfinished event has held the watermark in place.
	StalledMs int64 `json:"stalledMs"`
	// BehindMs is the age of the first unfinished event, by the record's time: the lag in
	// time. 0 if there is none.
	BehindMs   int64 `json:"behindMs"`
	ParkedKeys int64 `json:"parkedKeys"`
	// Parked are the keys that have waited longest, at most 100.
	Parked []ParkedKey `json:"parked"`
}

// ParkedKey is a key whose first event waits, and with it all the key's later events.
type ParkedKey struct {
	Key    string `json:"key,omitempty"` // if it is valid UTF-8
	Raw    []byte `json:"keyBase64"`     // the same bytes; null for an event without a key
	Offset int64  `json:"offset"`        // of the waiting event
	// State is "retry", "breaker open", "awaiting dead letter" or "held": its type has no
	// handler here.
	State     string `json:"state"`
	WaitingMs int64  `json:"waitingMs"` // since the first failure
	// DueMs is the time until the next attempt, or the next write of the dead letter; 0 for a
	// key that does not wait for a time.
	DueMs    int64  `json:"dueMs"`
	Attempts int    `json:"attempts"`
	Bytes    int64  `json:"bytes"`           // of the waiting event and those behind it
	Error    string `json:"error,omitempty"` // of the last attempt, or of the dead letter's last write
}

// Inspect returns the state of the bus without asking a broker. It may be called at any time.
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

// inspectGroup returns the state of one group from a single snapshot of its engine, so that
// its parts are consistent.
func (b *Bus) inspectGroup(g *group) GroupInspection {
	look := GroupInspection{Name: g.name, State: "not started", Partitions: []PartitionInspection{}, Held: []HeldType{}, Subscriptions: []SubscriptionInspection{}}
	b.mu.Lock()
	for _, t := range g.topics {
		for typ, sub := range t.all {
			look.Subscriptions = append(look.Subscriptions, SubscriptionInspection{Name: sub.Name, Topic: t.name, Type: typ, Paused: sub.Held()})
		}
	}
	b.mu.Unlock()
	// Not slices.SortFunc: a program links 20 kB of it for each large type.
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

// Snapshot returns the state of the bus for this module's test kit. It never waits.
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

// Declarations returns the topics that the bus publishes and handles so far, for packages of
// this module.
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
