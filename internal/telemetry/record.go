package telemetry

import (
	"log/slog"
	"sync"
	"time"
)

// logLimit keeps a flood of failures from becoming a flood of log records: past
// a burst, one a second is loud, and says how many were not. The others are there
// at debug level.
type logLimit struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
	quiet  int64 // since the last loud one
}

// logBurst is how many records may come at once.
const logBurst = 10

// next is what the next record is logged at, loud or debug, and the field with
// which a loud one tells of the quiet ones before it.
func (l *logLimit) Next(loud slog.Level) (slog.Level, slog.Attr) {
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
		return loud, slog.Attr{} // which handlers leave out
	}
	return loud, slog.Int64(LogSuppressed, n)
}
