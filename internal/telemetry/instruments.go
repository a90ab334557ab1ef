package telemetry

import (
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// metrics are the instruments that are written where something happens.
// Instruments that are read at each collection are in watch.go.
type metrics struct {
	meter        metric.Meter
	registration metric.Registration
	// off reports whether nobody will ever read the instruments.
	off bool

	// The names are those of the Metric variables, in metric.go.
	operation, process                      metric.Float64Histogram
	sent, refused, consumed                 metric.Int64Counter
	retries, letters, letterFailures        metric.Int64Counter
	skipped, abandoned, lost, commitFailure metric.Int64Counter
	released, discarded, missedHooks        metric.Int64Counter
	transitions                             metric.Int64Counter
}

// newMetrics creates the instruments of a provider, by default the global one.
func newMetrics(provider metric.MeterProvider) metrics {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	m := provider.Meter(Scope, metric.WithSchemaURL(SchemaURL))
	_, off := provider.(noop.MeterProvider)
	return metrics{
		meter:          m,
		off:            off,
		operation:      OperationDuration.Durations(m),
		process:        ProcessDuration.Durations(m),
		sent:           SentMessages.Counter(m),
		refused:        Refused.Counter(m),
		consumed:       ConsumedMessages.Counter(m),
		retries:        Retries.Counter(m),
		letters:        DeadLetters.Counter(m),
		letterFailures: DeadLetterFailures.Counter(m),
		discarded:      Discarded.Counter(m),
		missedHooks:    MissedHooks.Counter(m),
		skipped:        Skipped.Counter(m),
		released:       ReleasedEvents.Counter(m),
		abandoned:      Abandoned.Counter(m),
		lost:           LostPartitions.Counter(m),
		commitFailure:  CommitFailures.Counter(m),
		transitions:    BreakerTransitions.Counter(m),
	}
}

// labels are attributes made into options in advance, so that writing an
// instrument does not allocate.
type labels struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

// newLabels returns labels for both kinds of instruments; a
// metric.MeasurementOption is either, but converting the slice would allocate at
// each call.
func newLabels(attributes ...attribute.KeyValue) *labels {
	o := metric.WithAttributeSet(attribute.NewSet(attributes...))
	return &labels{add: []metric.AddOption{o}, record: []metric.RecordOption{o}}
}

// family is a set of labels that differ in the value of one attribute. Values
// are added as they occur; once there are most of them, any further value counts
// as ErrorOther, so that input from outside can't create more time series than
// that. It is safe for concurrent use.
type family struct {
	// base are the attributes that all of the labels have, key is the one that
	// differs.
	base []attribute.KeyValue
	key  attribute.Key
	// most bounds known.
	most int
	// none is the labels without the attribute.
	none *labels

	// mu guards known, which only grows.
	mu    sync.Mutex
	known map[string]*labels
}

// maxFamily is the number of values that an attribute may have whose values the
// bus does not choose, such as event types of other services.
const maxFamily = 32

// newFamily returns a family without values.
//
//go:noinline
func newFamily(key attribute.Key, base ...attribute.KeyValue) *family {
	return &family{base: base, key: key, most: maxFamily, none: newLabels(base...), known: make(map[string]*labels)}
}

// of returns the labels for a value, and those without the attribute for "".
func (f *family) of(value string) *labels {
	if value == "" {
		return f.none
	}
	value = ClippedName(value)
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.known[value]; l != nil {
		return l
	}
	if len(f.known) >= f.most {
		if l := f.known[ErrorOther]; l != nil {
			return l
		}
		value = ErrorOther
	}
	// The value may lie in fetched memory.
	value = strings.Clone(value)
	l := newLabels(append(slices.Clone(f.base), f.key.String(value))...)
	f.known[value] = l
	return l
}
