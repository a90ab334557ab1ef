package transport

import (
	"cmp"
	"log/slog"
	"time"
)

// The defaults are defined once, here, so that a bus behaves the same on every transport.

// WithDefaults returns c with every zero field set to its documented default. It keeps
// negative fields, for the transport to refuse.
func (c ProducerConfig) WithDefaults() ProducerConfig {
	c.DeliveryTimeout = cmp.Or(c.DeliveryTimeout, 2*time.Minute)
	c.BufferBytes = cmp.Or(c.BufferBytes, 32<<20)
	c.BufferRecords = cmp.Or(c.BufferRecords, 100_000)
	c.BatchBytes = cmp.Or(c.BatchBytes, 1_000_000)
	c.RequestBytes = cmp.Or(c.RequestBytes, 16<<20)
	return c
}

// WithDefaults returns c with every zero field set to its documented default. It keeps
// negative fields, for the transport to refuse.
func (c ConsumerConfig) WithDefaults() ConsumerConfig {
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 45*time.Second)
	// Kafka's rule: two heartbeats may get lost before the session ends.
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, min(3*time.Second, c.SessionTimeout/3))
	c.RebalanceTimeout = cmp.Or(c.RebalanceTimeout, time.Minute)
	c.FetchBytes = cmp.Or(c.FetchBytes, 16<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// WithDefaults returns c with every zero field set to its documented default. It keeps a
// negative FetchBytes, for the transport to refuse.
func (c ReaderConfig) WithDefaults() ReaderConfig {
	c.FetchBytes = cmp.Or(c.FetchBytes, 8<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
