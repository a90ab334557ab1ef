package view

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// Config configures a view. Every zero value is a safe default.
type Config struct {
	// Store keeps the table. Nil means memory: the table is read from the topic at each
	// start.
	Store Store
	// MaxBytes bounds the table: its keys, records and index. A view that outgrows it
	// fails with an error, because a table that lacks keys would give wrong answers.
	// Default 1 GiB.
	MaxBytes int64
	// FetchBytes bounds the records that are fetched but not yet applied. Default 8 MiB.
	FetchBytes int
	// RefreshInterval is the time between two checks of the topic itself, for added
	// partitions and for a topic that was created again. Default 10 s.
	RefreshInterval time.Duration
	// MaxAge is how old a Store's table may be at a start. An older one is not used, and
	// the topic is read from its start: the topic may have dropped tombstones that the
	// table never saw. MaxAge must be below the topic's delete.retention.ms, which is
	// 24 h by default. Default 12 h.
	MaxAge time.Duration
	// Logger receives diagnostics that can't be returned to a caller. Nil means
	// slog.Default().
	Logger *slog.Logger
	// MeterProvider creates the view's metrics. Nil means OpenTelemetry's global one.
	MeterProvider metric.MeterProvider
}

// check returns an error that names every wrong field.
func (c *Config) check() error {
	var wrong []error
	for _, f := range []struct {
		name  string
		value int64
	}{{"MaxBytes", c.MaxBytes}, {"FetchBytes", int64(c.FetchBytes)}, {"RefreshInterval", int64(c.RefreshInterval)}, {"MaxAge", int64(c.MaxAge)}} {
		if f.value < 0 {
			wrong = append(wrong, fmt.Errorf("%s is negative: use a positive value, or zero for the default", f.name))
		}
	}
	return errors.Join(wrong...)
}

// withDefaults returns c with the documented default in place of every zero field.
func (c Config) withDefaults() Config {
	if c.Store == nil {
		c.Store = Memory()
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 30
	}
	if c.FetchBytes == 0 {
		c.FetchBytes = 8 << 20
	}
	if c.RefreshInterval == 0 {
		c.RefreshInterval = 10 * time.Second
	}
	if c.MaxAge == 0 {
		c.MaxAge = 12 * time.Hour
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
