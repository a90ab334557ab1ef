package telemetry

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

// LogLimit keeps a flood of failures from becoming a flood of log records. After
// a burst of logBurst records, one a second keeps its level and says how many
// before it did not; the others are logged at debug level. The zero value is
// ready, and safe for concurrent use.
type LogLimit struct {
	mu sync.Mutex
	// tokens is how many records may keep their level now; it grows by one a
	// second.
	tokens float64
	last   time.Time
	// quiet counts the suppressed records since the last one that kept its level.
	quiet int64
}

// logBurst is how many records may keep their level at once: enough to see one
// incident whole.
const logBurst = 10

// Next returns the level of the next record, which is level or debug, and a
// field with the number of suppressed records since the last one that kept its
// level. The field is the zero Attr, which log handlers leave out, if there were
// none.
func (l *LogLimit) Next(level slog.Level) (slog.Level, slog.Attr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.last.IsZero() {
		l.tokens = logBurst
	} else {
		l.tokens = min(l.tokens+now.Sub(l.last).Seconds(), logBurst)
	}
	l.last = now
	if l.tokens < 1 {
		l.quiet++
		return slog.LevelDebug, slog.Attr{}
	}
	l.tokens--
	n := l.quiet
	l.quiet = 0
	if n == 0 {
		// Handlers leave out the zero Attr.
		return level, slog.Attr{}
	}
	return level, slog.Int64(LogSuppressed, n)
}

// Once remembers names that were logged, so that each is logged once. It is bounded,
// because a producer may send a new name with every event: past maxOnce none is
// logged. The zero value is ready, and safe for concurrent use.
type Once struct {
	// mu guards names.
	mu    sync.Mutex
	names map[string]struct{}
}

// maxOnce bounds the names of a Once.
const maxOnce = 100

// First reports whether a name is new, and is to be logged.
func (o *Once) First(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.names[name]; known || len(o.names) >= maxOnce {
		return false
	}
	if o.names == nil {
		o.names = make(map[string]struct{})
	}
	// The name may lie in fetched memory.
	o.names[strings.Clone(name)] = struct{}{}
	return true
}
