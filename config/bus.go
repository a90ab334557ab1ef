package config

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
)

// bus reads what eventbus.Config has.
func (r *reader) bus(c *eventbus.Config) {
	r.text("Service", &c.Service)
	r.text("Environment", &c.Environment)
	r.text("Source", &c.Source)
	r.text("Name", &c.Name)
	var provision bool
	// The configuration has two values, and the bus three: unset stays its default.
	if r.flag("AutoProvision", &provision) {
		c.AutoProvision = eventbus.ProvisionNever
		if provision {
			c.AutoProvision = eventbus.ProvisionAlways
		}
	}
	r.flag("StartDegraded", &c.StartDegraded)
	r.flag("Structured", &c.Structured)
	r.text("InstanceId", &c.InstanceID)
	r.duration("SessionTimeout", &c.SessionTimeout)
	r.duration("HeartbeatInterval", &c.HeartbeatInterval)
	r.duration("RebalanceTimeout", &c.RebalanceTimeout)
	count(r, "FetchBytes", &c.FetchBytes)
	r.duration("CommitInterval", &c.CommitInterval)
	r.duration("DrainTimeout", &c.DrainTimeout)
	r.duration("StuckAfter", &c.StuckAfter)
	r.duration("HandlerGrace", &c.HandlerGrace)
	count(r, "Bounds:Records", &c.Bounds.Records)
	count(r, "Bounds:Bytes", &c.Bounds.Bytes)
	count(r, "Bounds:MinRecords", &c.Bounds.MinRecords)
	count(r, "Bounds:ParkedKeys", &c.Bounds.ParkedKeys)
	r.duration("Producer:DeliveryTimeout", &c.Producer.DeliveryTimeout)
	count(r, "Producer:BufferBytes", &c.Producer.BufferBytes)
	count(r, "Producer:BufferRecords", &c.Producer.BufferRecords)
	count(r, "Producer:BatchBytes", &c.Producer.BatchBytes)
	count(r, "Producer:RequestBytes", &c.Producer.RequestBytes)
	r.breaker("PublishBreaker:", &c.PublishBreaker)
	c.Handling = r.handling()
	r.identity(c)
}

// identity fills in the names of the service and the environment, and has the whole
// configuration checked by eventbus, so that the rules are in one place.
func (r *reader) identity(c *eventbus.Config) {
	s := &r.settings
	c.Service = cmp.Or(c.Service, s.service, s.variable("OTEL_SERVICE_NAME"))
	c.Environment = cmp.Or(c.Environment, r.values.host)
	// checked has names in place of missing ones, so that the rest is checked too.
	checked := *c
	if c.Service == "" {
		r.fault("the service has no name: set %s:Service in a file, %[1]s__Service or OTEL_SERVICE_NAME in the environment, or use config.Service", s.section)
		checked.Service = "service"
	}
	if c.Environment == "" {
		r.fault("the environment has no name: set %s:Environment in a file, or %[1]s__Environment, DOTNET_ENVIRONMENT, ASPNETCORE_ENVIRONMENT or ENVIRONMENT in the environment, to Development, Production or another name", s.section)
		checked.Environment = "Development"
	}
	var invalid *eventbus.Error
	if err := checked.Validate(); errors.As(err, &invalid) {
		*r.wrong = append(*r.wrong, parts(invalid.Err)...)
	}
}

// parts returns the errors that were joined into err, or err itself.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// handling returns the default options of all subscriptions; a subscription's own
// options override them. An option is made only of what is set: a zero would
// override the bus's default.
func (r *reader) handling() []eventbus.SubscribeOption {
	var options []eventbus.SubscribeOption
	var concurrency, batch int
	if count(r, "Handling:Concurrency", &concurrency) {
		options = append(options, eventbus.Concurrency(concurrency))
	}
	if count(r, "Handling:BatchSize", &batch) {
		options = append(options, eventbus.BatchSize(batch))
	}
	var timeout, batchWait time.Duration
	if r.duration("Handling:Timeout", &timeout) {
		options = append(options, eventbus.Timeout(timeout))
	}
	if r.duration("Handling:BatchWait", &batchWait) {
		if batchWait > time.Minute {
			r.wrongly("Handling:BatchWait", "more than a batch may wait: write up to 1m")
		} else {
			options = append(options, eventbus.BatchWait(batchWait))
		}
	}
	options = append(options, r.rateLimit()...)
	options = append(options, r.letterTopics()...)
	var retry, unset resilience.Retry
	count(r, "Handling:Retry:Attempts", &retry.Attempts)
	r.duration("Handling:Retry:Elapsed", &retry.Elapsed)
	r.duration("Handling:Retry:Initial", &retry.Initial)
	r.duration("Handling:Retry:Max", &retry.Max)
	r.ratio("Handling:Retry:Multiplier", "not a growth factor: write a number from 1 to 100", &retry.Multiplier, 1, 100)
	// The policy is one option: what is not set of it takes that option's defaults.
	if retry != unset {
		options = append(options, eventbus.Retry(retry))
	}
	var waits []time.Duration
	if r.durations("Handling:Retry:Wait", &waits) {
		if retry.Initial != 0 || retry.Max != 0 || retry.Multiplier != 0 {
			r.wrongly("Handling:Retry:Wait", "set beside Initial, Max or Multiplier, which it replaces: remove it, or them")
		}
		options = append(options, eventbus.RetryWait(resilience.Steps(waits...)))
	}
	var breaker resilience.BreakerConfig
	if r.breaker("Handling:Breaker:", &breaker) {
		options = append(options, eventbus.Breaker(breaker))
	}
	return options
}

// letterTopics reads the names of the topics of dead letters, which marks make fit all
// topics and groups.
func (r *reader) letterTopics() (options []eventbus.SubscribeOption) {
	var dead, retry string
	if r.text("Handling:DeadLetterTopic", &dead); dead != "" {
		options = append(options, eventbus.DeadLetterTopic(dead))
	}
	if r.text("Handling:RetryTopic", &retry); retry != "" {
		options = append(options, eventbus.RetryTopic(retry))
	}
	return options
}

// rateLimit reads the limit of each subscription: of one second's events at once, if
// nothing else is said.
func (r *reader) rateLimit() []eventbus.SubscribeOption {
	var perSecond float64
	var burst int
	limited := r.ratio("Handling:RateLimit:PerSecond", "not a rate: write a number of events from 0.1 to 1000000000", &perSecond, 0.1, 1e9)
	bursts := count(r, "Handling:RateLimit:Burst", &burst)
	switch {
	case limited:
		return []eventbus.SubscribeOption{eventbus.RateLimit(perSecond, cmp.Or(burst, max(int(perSecond), 1)))}
	case bursts:
		if _, said := r.value(r.settings.key("Handling:RateLimit:PerSecond")); said {
			break // and wrong, which is a fault already
		}
		r.wrongly("Handling:RateLimit:Burst", "set without a rate: write Handling:RateLimit:PerSecond too")
	}
	return nil
}

// breaker reads the settings of a circuit breaker, and reports whether there are
// any.
func (r *reader) breaker(section string, c *resilience.BreakerConfig) bool {
	// All are read, even after the first that is set: or would leave out the
	// others.
	found := []bool{
		r.flag(section+"Disabled", &c.Disabled),
		r.ratio(section+"Ratio", "not a ratio: write a number above 0, and at most 1", &c.Ratio, 0.0001, 1),
		count(r, section+"MinKeys", &c.MinKeys),
		count(r, section+"MinAttempts", &c.MinAttempts),
		r.duration(section+"Window", &c.Window),
		r.duration(section+"After", &c.After),
		r.duration(section+"OpenFor", &c.OpenFor),
		count(r, section+"Probes", &c.Probes),
	}
	return slices.Contains(found, true)
}
