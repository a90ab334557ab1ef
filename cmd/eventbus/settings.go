package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/internal/doctor"
	"github.com/eventbus-go/eventbus/kafka"
)

// The variables that flags replace.
const (
	connectionVariable  = "ConnectionStrings__Messaging"
	environmentVariable = "EventBus__Environment"
)

// noEnvironment replaces an environment that is not configured: package config requires
// one, but few commands need it.
const noEnvironment = "eventbus-tool-none"

// settings reads the configuration as services do, with flags in place of variables. If no
// environment is configured, Bus.Environment is empty.
func (a *app) settings() (config.Config, error) {
	// The machine's configuration is for another cluster: its credentials must not be used
	// here.
	if a.embedded {
		return config.Config{
			Bus:   eventbus.Config{Environment: a.environment},
			Kafka: kafka.Config{Brokers: a.brokers, ClientID: "eventbus-tool"},
		}, nil
	}
	// Package config requires the name of a service; one that is configured takes precedence.
	options := []config.Option{config.Service("eventbus-tool")}
	if a.config != "" {
		options = append(options, config.Files(a.config))
	}
	// Flags become variables in a copy of the environment: package config then prefers them to
	// files, and the process's own environment stays unchanged.
	environ := os.Environ()
	if len(a.brokers) > 0 {
		environ = with(environ, connectionVariable, strings.Join(a.brokers, ","))
	}
	if a.environment != "" {
		environ = with(environ, environmentVariable, a.environment)
	}
	// Appending to options twice is safe: the second load replaces what the first appended,
	// which is no longer used.
	c, err := config.Load(append(options, config.Environ(environ...))...)
	if err != nil && c.Bus.Environment == "" {
		// If only the environment is missing, the rest is valid.
		c, err = config.Load(append(options, config.Environ(with(environ, environmentVariable, noEnvironment)...))...)
		// Callers expect an empty string.
		c.Bus.Environment = ""
	}
	if err != nil {
		var wrong *config.Error
		// The usual mistake on first use gets a full answer. With --brokers, the list may be empty
		// because it is invalid, which err explains.
		if errors.As(err, &wrong) && len(c.Kafka.Brokers) == 0 && len(a.brokers) == 0 {
			return c, fmt.Errorf("no brokers: give --brokers host:port or --config FILE, or set %s: %w", connectionVariable, err)
		}
		return c, err
	}
	// Under this name the program appears in the logs and quotas of brokers, apart from the
	// service whose configuration it read.
	c.Kafka.ClientID = "eventbus-tool"
	if c.Kafka.DialTimeout == 0 {
		// Shorter than the 10 s of services, since a person waits for the answer.
		c.Kafka.DialTimeout = 5 * time.Second
	}
	return c, nil
}

// with returns environ with a variable set. It replaces the variable whatever the case of
// its letters, since package config ignores case.
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

// tokenVariable names the environment variable with the bearer token of services' admin
// handlers. A flag would show the token in the list of processes.
const tokenVariable = "EVENTBUS_ADMIN_TOKEN" //nolint:gosec // a name, not a secret

// service is the client for admin handlers. It follows no redirects: the token is for the
// address that the operator named, and a redirect could lead it to another, or from https
// to http.
var service = &http.Client{
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// authorize adds the token to a request, if there is one. Over plain HTTP it is sent only
// to this machine: elsewhere it could be read on the way.
func authorize(r *http.Request) error {
	// No token is not an error: an admin handler may be open to this machine.
	token := os.Getenv(tokenVariable)
	if token == "" {
		return nil
	}
	// Loopback takes host:port; the port does not matter.
	if r.URL.Scheme != "https" && !doctor.Loopback([]string{net.JoinHostPort(r.URL.Hostname(), "0")}) {
		return fmt.Errorf("%s is not sent to %s over plain http, where it could be read: use https, a tunnel to this machine, or unset %s", tokenVariable, r.URL.Host, tokenVariable)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// refusal returns the error for a redirect or a status from 400 on: the admin handler's
// message, if the response has one.
func refusal(resp *http.Response) error {
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("the service refuses the token (%s): set %s to the one that it was configured with", resp.Status, tokenVariable)
	}
	// The address comes from the server, so it is quoted and cut.
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode < http.StatusBadRequest {
		return fmt.Errorf("the service answers %s, to %.200q: name that address if it is the one", strings.TrimSpace(resp.Status), to)
	}
	// Bounded, since the address may be that of any server.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	// The form of an admin handler's errors. Anything else is usually the page of a proxy, whose
	// status says more than its text.
	var problem struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Error != "" {
		return fmt.Errorf("%s (%s)", problem.Error, resp.Status)
	}
	return fmt.Errorf("the service answers %s", strings.TrimSpace(resp.Status))
}
