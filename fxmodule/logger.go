package fxmodule

import (
	"context"
	"log/slog"
	"math"

	"go.uber.org/fx"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// logger is what the bus logs to.
type logger struct{ *slog.Logger }

type loggerParams struct {
	fx.In

	Zap   *zap.Logger  `optional:"true"`
	Slog  *slog.Logger `optional:"true"`
	Level *logLevel
}

// newLogger returns the container's logger, limited to the configured level, or the
// one that was set since. What the container's logger does not log stays unlogged.
func newLogger(p loggerParams) logger {
	handler := slog.Default().Handler()
	switch {
	case p.Zap != nil:
		name := "eventbus"
		if p.Zap.Name() != "" {
			name = p.Zap.Name() + "." + name
		}
		// A stack would only show how the bus came to log.
		handler = zapslog.NewHandler(p.Zap.Core(), zapslog.WithName(name), zapslog.WithCaller(true), zapslog.AddStacktraceAt(math.MaxInt))
	case p.Slog != nil:
		handler = p.Slog.Handler()
	}
	return logger{slog.New(leveled{handler, p.Level})}
}

// reported logs err, if it is not nil, and returns it. fx reports it too, unless it
// was given fx.NopLogger: then the program would end silently.
func (l logger) reported(err error) error {
	if err != nil {
		l.Error("the application does not start", "error", err)
	}
	return err
}

// leveled is a handler that drops records below a level.
type leveled struct {
	slog.Handler
	level slog.Leveler
}

// Enabled reports whether both levels let a record pass.
func (h leveled) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level.Level() && h.Handler.Enabled(ctx, level)
}

// WithAttrs and WithGroup keep the level, which the embedded methods would lose.
func (h leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{h.Handler.WithAttrs(attrs), h.level}
}

func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.Handler.WithGroup(name), h.level}
}
