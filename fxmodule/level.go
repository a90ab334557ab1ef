package fxmodule

import (
	"log/slog"
	"math"
	"net/http"

	"go.uber.org/fx"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/eventbus-go/eventbus/config"
)

// logLevel is the lowest level at which the bus logs, one of zap's. It serves
// /log-level, by which it can be changed while the program runs. It is safe for
// concurrent use.
type logLevel struct {
	own zap.AtomicLevel
	// whole is the container's level, or zero. The program's own logger may use it.
	// Changing the level changes both.
	whole zap.AtomicLevel
}

type levelParams struct {
	fx.In

	Whole  zap.AtomicLevel `optional:"true"`
	Config config.Config   `optional:"true"`
}

// unsaid is no level of zap's, so no request can ask for it.
const unsaid zapcore.Level = math.MinInt8

// newLogLevel returns the configured level. Without one it is zap's lowest, so that
// the level of the container's logger alone decides.
func newLogLevel(p levelParams) *logLevel {
	l := &logLevel{own: zap.NewAtomicLevelAt(zap.DebugLevel), whole: p.Whole}
	if p.Config.LogLevel != nil {
		l.own.SetLevel(fromSlog(p.Config.LogLevel.Level()))
	}
	return l
}

// Level implements slog.Leveler.
func (l *logLevel) Level() slog.Level { return 4 * slog.Level(l.own.Level()) }

// fromSlog returns the lowest of zap's levels that is not below level. slog's named
// levels are four apart, zap's one. Above all of zap's it returns one at which nothing
// is logged.
func fromSlog(level slog.Level) zapcore.Level {
	steps := math.Ceil(float64(level) / 4)
	return zapcore.Level(min(max(steps, float64(zap.DebugLevel)), float64(zapcore.InvalidLevel)))
}

// ServeHTTP serves the level as zap.AtomicLevel does: GET returns it, PUT changes it.
// If the container has a level, GET returns that one.
func (l *logLevel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shown := l.own
	if l.whole != (zap.AtomicLevel{}) {
		shown = l.whole
	}
	if r.Method != http.MethodPut {
		shown.ServeHTTP(w, r)
		return
	}
	// Let a level of its own read the request and answer it: a request that is refused
	// leaves it as it was.
	asked := zap.NewAtomicLevelAt(unsaid)
	asked.ServeHTTP(w, r)
	if asked.Level() == unsaid {
		return
	}
	l.own.SetLevel(asked.Level())
	if shown == l.whole {
		l.whole.SetLevel(asked.Level())
	}
}
