package eventbus

import (
	"fmt"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/internal/callback"
	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// SubscribeOption changes one subscription. Only functions of this package return one.
// No other package can implement it.
type SubscribeOption interface {
	applySubscribe(*subscribeSettings)
}

// subscribeSettings is the result of a subscription's options. Settings that a topic has
// once per group are pointers, nil if no option set them.
type subscribeSettings struct {
	group       string
	concurrency int
	retry       resilience.Retry
	timeout     time.Duration
	policy      errorPolicy
	breaker     breakerSettings
	batchSize   int
	gatherer    engine.Gatherer
	limit       func() engine.Limit // creates one per bus; nil means no limit
	middleware  []Middleware
	derive      deriver
	hooks       []callback.Hook

	order      *Order
	start      *StartPosition
	unknown    *UnknownType
	beyond     *OutOfRange
	dead       *string // dead-letter topic
	retryTopic *string
	faults     []error
}

type breakerSettings struct {
	name   string // shared by name; empty: the subscription's own
	config resilience.BreakerConfig
	call   *byte                                                                                  // identifies the call of SharedBreaker: an option may be used many times
	depend func(on map[string]*dependency, s breakerSettings, by string) (undo func(), err error) // the function depend, if name is set
}

// Defaults of a subscription.
const (
	defaultConcurrency = 64
	defaultTimeout     = time.Minute
	defaultBatchSize   = 100
)

func newSubscribeSettings(options ...SubscribeOption) subscribeSettings {
	s := subscribeSettings{concurrency: defaultConcurrency, timeout: defaultTimeout}
	for _, o := range options {
		if o != nil {
			o.applySubscribe(&s)
		}
	}
	return s
}

func (s *subscribeSettings) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Errorf(format, args...))
}

type subscribeOption func(*subscribeSettings)

func (o subscribeOption) applySubscribe(s *subscribeSettings) { o(s) }

// Group puts the subscription into the named consumer group, in place of
// {service}-{env}. Every group gets every event.
func Group(name string) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if name == "" {
			s.fault("Group: the name is empty")
		}
		s.group = name
	})
}

// Concurrency sets how many events of the subscription are handled at once, each of a
// different key. Default 64, which suits handlers that wait for I/O.
func Concurrency(n int) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if s.concurrency = n; n < 1 {
			s.fault("Concurrency(%d): use 1 or more", n)
		}
	})
}

// Order says which events are handled one at a time.
type Order = engine.Order

// The orders. One order holds for all of a topic in a group.
const (
	// ByKey handles the events of each key in log order. It is the default.
	ByKey = engine.ByKey
	// ByPartition handles each partition in log order, for logs whose order spans keys.
	// One failing event holds up its whole partition.
	ByPartition = engine.ByPartition
	// Unordered handles events in any order, for events that commute.
	Unordered = engine.Unordered
)

// Ordered sets the order. Subscriptions of one topic and group must agree.
func Ordered(o Order) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if s.order = &o; o < ByKey || o > Unordered {
			s.fault("Ordered(%d): use ByKey, ByPartition or Unordered", o)
		}
	})
}

// Retry sets the retry policy. The zero resilience.Retry is the default policy.
func Retry(policy resilience.Retry) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) { s.retry = policy })
}

// Timeout bounds each attempt: the handler's context ends with it. A handler
// that does not return then keeps its key, shows in health, and holds up nothing
// else. Default one minute; zero is no bound.
func Timeout(d time.Duration) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if d < 0 || d > 0 && d < time.Millisecond {
			s.fault("Timeout(%v): use a millisecond or more, or zero for none; a number without a unit counts nanoseconds", d)
			return
		}
		s.timeout = d
	})
}

// Breaker configures the subscription's own circuit breaker, which is on by default. It
// replaces a SharedBreaker, such as one of Config.Handling, for this subscription only.
func Breaker(config resilience.BreakerConfig) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) { s.breaker = breakerSettings{config: config} })
}

// SharedBreaker puts the subscription behind the circuit breaker of a named dependency,
// which all subscriptions of the bus that name it share. Configure it in one of them, or
// identically in several; the others may leave config zero. Every OnChange is called. With
// config.Disabled this subscription, and no other, has no breaker.
func SharedBreaker(dependency string, config resilience.BreakerConfig) SubscribeOption {
	own := breakerSettings{dependency, config, new(byte), depend}
	return subscribeOption(func(s *subscribeSettings) {
		if dependency == "" {
			s.fault("SharedBreaker: the dependency's name is empty")
		}
		if s.breaker = own; config.Disabled {
			s.breaker.name = ""
		}
	})
}

// BatchSize sets the most events that an OnBatch handler gets at once. Default 100. The
// handler gets the events that are ready; it does not wait for more.
func BatchSize(n int) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if n < 1 {
			s.fault("BatchSize(%d): use 1 or more", n)
			return
		}
		s.batchSize = n
	})
}

// BatchWait has an OnBatch handler wait for a full batch. It is called once BatchSize
// events of a partition are ready, or once the first of them has waited for d with nothing
// but the batch's size holding it up. That adds up to d of delay; d is at most a minute.
// Ordered ByPartition, a batch does not wait if an event of another subscription comes
// next. Retries don't wait, and neither does a drain or a rebalance: those leave events
// that were not begun to the next owner. Handlers of single events don't wait.
func BatchWait(d time.Duration) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if d < 0 || d > time.Minute {
			s.fault("BatchWait(%v): use up to one minute, or zero for none", d)
			return
		}
		if s.gatherer = nil; d > 0 {
			s.gatherer = engine.NewGatherer(d)
		}
	})
}

// RateLimit bounds how many events of the subscription are tried a second, retries
// included, with burst at once. It holds for this member alone: a group of n members
// handles up to n times as many. Events beyond it wait where they are, in order, and
// none is dropped; Inspect shows the subscription as limited, and Health is Degraded
// where a partition waits for its turn for longer than StuckAfter. A drain or a rebalance
// does not wait for them. A batch counts with all its events and may exceed burst: the
// next one then waits for longer.
func RateLimit(perSecond float64, burst int) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		// Not negated: every comparison with NaN is false.
		if !(perSecond >= leastRate && perSecond <= mostRate) || burst < 1 {
			s.fault("RateLimit(%v, %d): use %v to %.0f events a second, and a burst of 1 or more", perSecond, burst, leastRate, float64(mostRate))
			return
		}
		s.limit = func() engine.Limit { return engine.NewLimit(perSecond, burst) }
	})
}

// Bounds of RateLimit. A rate below one event in ten seconds would look like a stalled
// partition, and a service that slow should poll for its events.
const (
	leastRate = 0.1
	mostRate  = 1e9
)

// Use adds middleware around the subscription's handler, inside of what Bus.Use added. The
// first is the outermost.
func Use(middleware ...Middleware) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if err := checkMiddleware(middleware); err != nil {
			s.fault("Use: %v", err)
			return
		}
		s.middleware = append(s.middleware, middleware...)
	})
}

// DerivedIDs derives the id of each event that the handler publishes from the handled event
// (its source and id, in its group) and from the published event itself: topic, type, key,
// data, and the subject, extensions and headers set by options. If an attempt fails and the
// next one publishes the same again, it does so under the same id, and a downstream [Inbox]
// lets it through once. If it decides differently, it publishes a different event, which no
// inbox drops. Equal events of one attempt are numbered, so their ids differ.
//
// It applies to Publish, PublishAsync, PublishBatch, Delete and [Publisher.Envelope] in the
// handler's context. An id is new if there is nothing stable to derive it from: in a replay,
// in a batch without [CausedBy], and for data of a [CodecWrapper] or replaced by a
// [PublishMiddleware]. Data that contains the time of the attempt differs each time; use
// [WithStep] for such events.
func DerivedIDs() SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) { s.derive = deriveID })
}

// StartPosition is where a group that has committed nothing on a topic starts reading.
type StartPosition = transport.Start

// StartAt sets the start position: Earliest (the default), Latest, or At a time. It applies
// once, to all partitions together; partitions added later are read from their beginning.
// Subscriptions of one topic and group must agree.
func StartAt(p StartPosition) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) { s.start = &p })
}

// Earliest returns the position of the oldest event in the log.
func Earliest() StartPosition { return transport.Earliest() }

// Latest returns the end of the log.
func Latest() StartPosition { return transport.Latest() }

// At returns the position of the first event whose record was written at or after t.
func At(t time.Time) StartPosition { return transport.At(t) }

// OutOfRange is the policy for a committed offset beyond the log's end, such as after a
// topic was deleted and created again.
type OutOfRange = transport.OutOfRange

// The policies for offsets out of range. Each is logged and counted.
const (
	ToEarliest = transport.ToEarliest
	ToLatest   = transport.ToLatest
	// FailOutOfRange stops reading the partition; the bus is then not ready.
	FailOutOfRange = transport.StayOutOfRange
)

// WhenOutOfRange sets the policy for a committed offset beyond the log's end.
// Default ToEarliest. Subscriptions of one topic and group must agree.
func WhenOutOfRange(p OutOfRange) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if s.beyond = &p; p < ToEarliest || p > FailOutOfRange {
			s.fault("WhenOutOfRange(%d): use ToEarliest, ToLatest or FailOutOfRange", p)
		}
	})
}

// UnknownType is the policy for events whose type no subscription of the group handles.
type UnknownType int8

// The policies for unknown types.
const (
	// SkipUnknown skips them and counts them.
	SkipUnknown UnknownType = iota
	// DeadLetterUnknown dead-letters them: for topics on which every type is meant for this
	// group.
	DeadLetterUnknown
	// FailUnknown holds them, and their keys, until a member that handles the type owns the
	// partition: for rollouts in which a type's handler is deployed after its first events.
	FailUnknown
)

// WhenUnknown sets the policy for events of unknown types. Default SkipUnknown.
// Subscriptions of one topic and group must agree.
func WhenUnknown(p UnknownType) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if s.unknown = &p; p < SkipUnknown || p > FailUnknown {
			s.fault("WhenUnknown(%d): use SkipUnknown, DeadLetterUnknown or FailUnknown", p)
		}
	})
}

// dependency collects what the subscriptions behind a SharedBreaker declare, in any order.
type dependency struct {
	config resilience.BreakerConfig // without OnChange
	by     string                   // the subscription that configured it, empty if none did
	calls  []*byte                  // of SharedBreaker
	// onChange has the callback of each call that has one.
	onChange []func(from, to resilience.State)
	breaker  *resilience.Breaker // nil until a group or a replay is prepared
}

// depend adds what a subscription says of its named dependency to the others'. undo takes
// it back, unless something was added after it.
func depend(on map[string]*dependency, s breakerSettings, by string) (undo func(), err error) {
	d := on[s.name]
	if d == nil {
		d = new(dependency)
	}
	before := *d
	if err := d.join(s, by); err != nil {
		return nil, err
	}
	on[s.name] = d
	joined := len(d.calls)
	return func() {
		switch {
		case len(d.calls) > joined: // another one has joined since
		case len(before.calls) == 0:
			delete(on, s.name)
		default:
			*d = before
		}
	}, nil
}

// join merges a subscription's configuration into the dependency. The error names both
// subscriptions that differ.
func (d *dependency) join(s breakerSettings, by string) error {
	config := s.config
	config.OnChange = nil
	// Compared as text, since the type contains a function. reflect.DeepEqual would be linked
	// for this alone.
	text := fmt.Sprint(config)
	switch given := text != fmt.Sprint(resilience.BreakerConfig{}); {
	case given && d.by != "" && text != fmt.Sprint(d.config):
		return fmt.Errorf("SharedBreaker(%q): %s and %s configure it differently: a dependency has one breaker, so configure it once, and leave it zero elsewhere", s.name, d.by, by)
	case given && d.by == "" && d.breaker != nil:
		return fmt.Errorf("SharedBreaker(%q): %s configures it, and it is in use with the defaults: configure it in a subscription of the bus", s.name, by)
	case given:
		d.config, d.by = config, by
	}
	if slices.Contains(d.calls, s.call) {
		return nil
	}
	if s.config.OnChange != nil {
		d.onChange = append(slices.Clip(d.onChange), s.config.OnChange)
	}
	d.calls = append(slices.Clip(d.calls), s.call)
	return nil
}
