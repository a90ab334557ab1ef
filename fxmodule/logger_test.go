package fxmodule_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/kafka"
)

// warnAndStop runs an application that logs a warning: it starts degraded.
func warnAndStop(t *testing.T, options ...fx.Option) {
	t.Helper()
	cluster := newCluster(t)
	cluster.Disconnect()
	app := fx.New(fxmodule.Module, fx.NopLogger, on(cluster), fx.Options(options...))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop(t, app)
}

func degraded(variables ...string) fx.Option {
	variables = append(variables, "EventBus__Service=billing", "EventBus__Environment=Test", "EventBus__StartDegraded=true")
	return fxmodule.FromEnvironment(config.Directory("testdata/none"), config.Environ(variables...))
}

func TestZapOfTheContainer(t *testing.T) {
	for _, c := range []struct {
		name  string
		level string
		warns bool
	}{
		{"no level", "", true}, {"Debug", "Debug", true}, {"Warning", "Warning", true}, {"Error", "Error", false}, {"None", "None", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			core, logs := observer.New(zapcore.InfoLevel)
			warnAndStop(t, degraded("Logging__LogLevel__EventBus="+c.level), fx.Supply(zap.New(core).Named("shop")))
			warnings := logs.FilterMessage("started degraded").All()
			if (len(warnings) == 1) != c.warns {
				t.Fatalf("logged %v", logs.All())
			}
			if c.warns {
				w := warnings[0]
				if w.Level != zapcore.WarnLevel || w.LoggerName != "shop.eventbus" || !w.Caller.Defined || w.Stack != "" || w.ContextMap()["cluster"] != "kafka" {
					t.Errorf("logged %+v", w)
				}
			}
		})
	}
}

// warnings is a slog handler that counts them.
type warnings struct {
	slog.Handler
	seen chan slog.Record
}

func (w warnings) Enabled(context.Context, slog.Level) bool { return true }

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return nil
	}
	select {
	case w.seen <- r:
		return nil
	default:
		return errors.New("full")
	}
}

func (w warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// TestWhichLogger prefers what eventbus.Config says to the container's zap, and
// that to its slog.
func TestWhichLogger(t *testing.T) {
	seen := func() (*slog.Logger, chan slog.Record) {
		w := warnings{slog.DiscardHandler, make(chan slog.Record, 10)}
		return slog.New(w), w.seen
	}
	own, ownSeen := seen()
	container, containerSeen := seen()
	core, logs := observer.New(zapcore.DebugLevel)

	warnAndStop(t, degraded(), fx.Supply(container))
	if len(containerSeen) == 0 {
		t.Error("the container's slog.Logger heard nothing")
	}
	warnAndStop(t, degraded(), fx.Supply(container, zap.New(core)))
	if logs.FilterMessage("started degraded").Len() != 1 || logs.All()[0].LoggerName != "eventbus" {
		t.Errorf("the container's zap.Logger heard %v", logs.All())
	}
	warnAndStop(t, degraded(), fx.Supply(container, zap.New(core)), fx.Decorate(func(c eventbus.Config) eventbus.Config {
		c.Logger = own
		return c
	}))
	if len(ownSeen) == 0 || logs.FilterMessage("started degraded").Len() != 1 {
		t.Error("the configured logger was passed over")
	}
}

// TestFailureIsLogged: with fx.NopLogger the program would otherwise end silently.
func TestFailureIsLogged(t *testing.T) {
	cluster := newCluster(t)
	cluster.Disconnect()
	handler := fxmodule.SubscribeFunc(orders, func(context.Context, order) error { return nil })
	for name, c := range map[string]struct {
		options fx.Option
		want    string
	}{
		"no broker":       {fx.Options(testConfig, on(cluster)), "eventbus: start"},
		"a wrong Config":  {fx.Options(fx.Supply(eventbus.Config{}), on(cluster)), "Service is empty"},
		"a wrong cluster": {fx.Options(testConfig, fx.Supply(kafka.Config{})), "Brokers is empty"},
		"one too many":    {fx.Options(testConfig, on(cluster), handler, handler), "handles"},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zapcore.DebugLevel)
			app := fx.New(fxmodule.Module, fx.NopLogger, fx.Supply(zap.New(core)), fx.StartTimeout(time.Second), c.options)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := app.Err()
			if err == nil {
				err = app.Start(ctx)
			}
			said := logs.FilterMessage("the application does not start").All()
			if err == nil || len(said) != 1 || said[0].Level != zapcore.ErrorLevel || !strings.Contains(fmt.Sprint(said[0].ContextMap()["error"]), c.want) {
				t.Errorf("%v, logged %v, want %q", err, said, c.want)
			}
		})
	}
}
