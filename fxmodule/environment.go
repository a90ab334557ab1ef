package fxmodule

import (
	"errors"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/kafka"
)

// FromEnvironment provides the kafka.Config and the eventbus.Config that
// config.Load reads from files and from the environment, and the config.Config
// itself. They are read once, when something needs them.
//
// A faulty eventbus.Config fails whatever needs it; what is wrong with the
// kafka.Config, as a missing connection string, only what needs a cluster.
func FromEnvironment(options ...config.Option) fx.Option {
	return fx.Provide(
		func() *environment {
			c, err := config.Load(options...)
			return &environment{c, err}
		},
		(*environment).whole, (*environment).kafka, busConfig,
	)
}

// environment is what was read, and what is wrong with it.
type environment struct {
	config config.Config
	err    error
}

// whole is all of it. What is wrong with the cluster's part is told to those who
// need that.
func (e *environment) whole() (config.Config, error) {
	var faults *config.Error
	if errors.As(e.err, &faults) && len(faults.Bus) > 0 {
		return e.config, &config.Error{Bus: faults.Bus}
	}
	return e.config, nil
}

func (e *environment) kafka() (kafka.Config, error) { return e.config.Kafka, e.err }

func busConfig(c config.Config) eventbus.Config { return c.Bus }
