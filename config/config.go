package config

import (
	"fmt"
	"log/slog"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/kafka"
)

// Config is the configuration that was read, ready for kafka.New and eventbus.New.
// It does not show passwords or tokens, in whatever way it is printed or logged.
type Config struct {
	// Kafka is the connection to the cluster, validated by kafka.Config.
	Kafka kafka.Config
	// Bus lacks what only code can set, such as the Logger and the providers.
	Bus eventbus.Config
	// LogLevel is the lowest level that the bus should log; nil if none is
	// configured. It is for the code that makes Bus.Logger.
	LogLevel slog.Leveler
	// Admin says where the admin handler is served: nowhere if none is configured.
	Admin admin.Config
	// Health says where health is served: nowhere if no address is configured.
	Health Health
}

// Health is the section EventBus:Health.
type Health struct {
	// Address is the address to listen on, such as ":8080", which without a host is a
	// loopback one.
	Address string
}

// Load reads the configuration. Its error is an *Error that lists everything that is
// wrong, and where. Load returns the readable rest even with an error.
func Load(options ...Option) (Config, error) {
	s := defaultSettings()
	for _, o := range options {
		o(&s)
	}
	// Faults are kept apart by what they spoil: see Error.
	var wrong Error
	r := &reader{settings: s, values: s.read(&wrong), wrong: &wrong.Bus}
	var c Config
	c.LogLevel = r.logLevel()
	r.bus(&c.Bus)
	r.admin(&c.Admin)
	r.text("Health:Address", &c.Health.Address)
	r.wrong = &wrong.Kafka
	r.kafka(&c.Kafka, c.Bus.Service)
	r.wrong = &wrong.Bus
	// Only now are all known settings announced.
	r.unknown()
	if len(wrong.Bus)+len(wrong.Kafka) > 0 {
		return c, &wrong
	}
	return c, nil
}

// String describes the configuration without its secrets.
func (c Config) String() string {
	return fmt.Sprintf("config.Config{Service: %q, Environment: %q, Kafka: %s, Admin: %s}", c.Bus.Service, c.Bus.Environment, c.Kafka.String(), c.Admin.String())
}

// Format prints String for every verb, so that no verb prints secrets.
func (c Config) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue logs String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
