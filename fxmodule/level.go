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

// logLevel is the least level that the bus logs at, by zap's levels. It can be
// changed while the program runs: it is the handler of /log-level.
type logLevel struct {
	own zap.AtomicLevel
	// whole is the container's, by which the program's own logger goes, if it has
	// one. Changing the level changes both.
	whole zap.AtomicLevel
}

type levelParams struct {
	fx.In

	Whole  zap.AtomicLevel `optional:"true"`
	Config config.Config   `optional:"true"`
}

// unsaid is not a level of zap's, and can't be asked for.
const unsaid zapcore.Level = math.MinInt8

// newLogLevel begins with what is configured. Where nothing is, what the
// container's logger logs counts alone.
func newLogLevel(p levelParams) *logLevel {
	l := &logLevel{own: zap.NewAtomicLevelAt(zap.DebugLevel), whole: p.Whole}
	if p.Config.LogLevel != nil {
		l.own.SetLevel(fromSlog(p.Config.LogLevel.Level()))
	}
	return l
}

// Level implements slog.Leveler.
func (l *logLevel) Level() slog.Level { return 4 * slog.Level(l.own.Level()) }

// fromSlog is zap's level for one of slog's, between whose names are four steps.
// The bus logs nothing beyond zap's.
func fromSlog(level slog.Level) zapcore.Level {
	steps := math.Ceil(float64(level) / 4)
	return zapcore.Level(min(max(steps, float64(zap.DebugLevel)), float64(zapcore.InvalidLevel)))
}

// ServeHTTP is zap.AtomicLevel's.
func (l *logLevel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shown := l.own
	if l.whole != (zap.AtomicLevel{}) {
		shown = l.whole
	}
	if r.Method != http.MethodPut {
		shown.ServeHTTP(w, r)
		return
	}
	// A level that nobody uses reads the request: one that is refused changes nothing.
	asked := zap.NewAtomicLevelAt(unsaid)
	asked.ServeHTTP(w, r)
	if asked.Level() == unsaid { // refused
		return
	}
	l.own.SetLevel(asked.Level())
	if shown == l.whole {
		l.whole.SetLevel(asked.Level())
	}
}
