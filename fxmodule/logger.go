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

// newLogger is the container's logger, from the level on that is configured, or
// was set since. What the container's logger does not log stays unlogged.
func newLogger(p loggerParams) logger {
	handler := slog.Default().Handler()
	switch {
	case p.Zap != nil:
		name := "eventbus"
		if p.Zap.Name() != "" {
			name = p.Zap.Name() + "." + name
		}
		// A stack would show how the bus came to log, which helps nobody.
		handler = zapslog.NewHandler(p.Zap.Core(), zapslog.WithName(name), zapslog.WithCaller(true), zapslog.AddStacktraceAt(math.MaxInt))
	case p.Slog != nil:
		handler = p.Slog.Handler()
	}
	return logger{slog.New(leveled{handler, p.Level})}
}

// reported logs err, if it is not nil, and returns it. fx reports it too, unless
// it was given fx.NopLogger: then the program would end without a word.
func (l logger) reported(err error) error {
	if err != nil {
		l.Error("the application does not start", "error", err)
	}
	return err
}

// leveled is a handler that drops what is below a level.
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
