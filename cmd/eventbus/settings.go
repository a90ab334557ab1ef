package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/config"
)

// The variables that flags take the place of.
const (
	connectionVariable  = "ConnectionStrings__Messaging"
	environmentVariable = "EventBus__Environment"
)

// noEnvironment stands in for an environment that is not configured: package
// config demands one, and few commands need it.
const noEnvironment = "eventbus-tool-none"

// settings reads the configuration as services do, with flags in the place of
// variables. Where no environment is configured, Bus.Environment is empty.
func (a *app) settings() (config.Config, error) {
	// Package config demands the name of a service; a configuration that has one
	// keeps its own.
	options := []config.Option{config.Service("eventbus-tool")}
	if a.config != "" {
		options = append(options, config.Files(a.config))
	}
	// Flags become variables of a copy: they then win over files by the rule that package
	// config has for variables, and the process's own environment stays as it is.
	environ := os.Environ()
	if len(a.brokers) > 0 {
		environ = with(environ, connectionVariable, strings.Join(a.brokers, ","))
	}
	if a.environment != "" {
		environ = with(environ, environmentVariable, a.environment)
	}
	// Appending to options twice is safe: the second load replaces what the first
	// appended, which is used no more.
	c, err := config.Load(append(options, config.Environ(environ...))...)
	if err != nil && c.Bus.Environment == "" {
		// The environment may be all that is missing. If so, the rest is valid.
		c, err = config.Load(append(options, config.Environ(with(environ, environmentVariable, noEnvironment)...))...)
		// Callers compare with empty, so the stand-in must not get out.
		c.Bus.Environment = ""
	}
	if err != nil {
		var wrong *config.Error
		// The usual reason on a first call deserves the whole answer.
		// With --brokers the list may be empty because it is wrong: err says how.
		if errors.As(err, &wrong) && len(c.Kafka.Brokers) == 0 && len(a.brokers) == 0 {
			return c, fmt.Errorf("no brokers: give --brokers host:port or --config FILE, or set %s: %w", connectionVariable, err)
		}
		return c, err
	}
	// By this name the program is found in the logs and quotas of brokers, apart from
	// the service whose configuration it read.
	c.Kafka.ClientID = "eventbus-tool"
	if c.Kafka.DialTimeout == 0 {
		// A person waits for the answer: services have 10 s.
		c.Kafka.DialTimeout = 5 * time.Second
	}
	return c, nil
}

// with returns environ with a variable set. The variable is replaced whatever
// the case of its letters, as package config reads them.
func with(environ []string, name, value string) []string {
	set := []string{name + "=" + value}
	for _, variable := range environ {
		// A second spelling of the variable would contradict the first.
		if n, _, _ := strings.Cut(variable, "="); !strings.EqualFold(n, name) {
			set = append(set, variable)
		}
	}
	return set
}
