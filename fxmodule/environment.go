package fxmodule

import (
	"errors"
	"log/slog"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/kafka"
)

// FromEnvironment provides the kafka.Config and the eventbus.Config that
// config.Load reads from files and from the environment, and the config.Config
// itself. They are read once, when something needs them.
//
// A faulty eventbus.Config fails everything that needs it. A fault of the
// kafka.Config, such as a missing connection string, fails only what needs a cluster.
func FromEnvironment(options ...config.Option) fx.Option {
	return fx.Provide(
		func() *environment {
			c, err := config.Load(options...)
			return &environment{c, err}
		},
		(*environment).whole, (*environment).kafka, busConfig,
	)
}

// environment is the configuration that was read, and its faults.
type environment struct {
	config config.Config
	err    error
}

// whole returns the whole configuration. It leaves faults of the cluster's part to
// kafka, whose callers need that part.
func (e *environment) whole() (config.Config, error) {
	var faults *config.Error
	if errors.As(e.err, &faults) && len(faults.Bus) > 0 {
		return e.config, reported(&config.Error{Bus: faults.Bus})
	}
	return e.config, nil
}

func (e *environment) kafka() (kafka.Config, error) { return e.config.Kafka, reported(e.err) }

// reported is logger.reported before there is a container's logger: that may depend
// on this very configuration.
func reported(err error) error { return logger{slog.Default()}.reported(err) }

func busConfig(c config.Config) eventbus.Config { return c.Bus }
