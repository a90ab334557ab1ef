package console

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/secret"
)

// Config says what a console shows, and to whom. At least one of Bus, Members and
// Cluster is required.
type Config struct {
	// Bus is the bus of this process.
	Bus *eventbus.Bus
	// Members are the admin handlers of other processes; see package admin.
	Members []Member
	// Cluster is asked for what members don't know: groups without members, dead
	// letters, the stories of events, the brokers. The caller closes it after the
	// console.
	Cluster *kafka.Transport
	// Environment, such as Production, whose topics alone are shown; empty for all.
	// It is that of the bus where there is one.
	Environment string
	// Catalog is what topics are declared to be. Where it is nil, the members' own
	// catalogues are shown; else the difference to it as well.
	Catalog *catalog.Document
	// Outbox is asked for the state of an outbox's relays; nil without one.
	Outbox Outbox
	// Checks are the findings of a doctor beside those of the console itself; nil
	// adds none.
	Checks func(context.Context) []Finding

	// Tokens are those that users identify themselves with. Without any, only this
	// machine may ask, by a loopback address: everyone who has an account on it.
	Tokens []Token
	// Hosts are the names by which users reach the console, without ports, beside the
	// loopback ones. A request that names another is refused. Without any, one with
	// Tokens takes every name.
	Hosts []string
	// Session is how long a user stays logged in, at most until the token is replaced.
	// Default 12 h.
	Session time.Duration
	// ReadOnly refuses every order.
	ReadOnly bool
	// ShowData shows the data of events: those whose type the catalogue knows, without
	// the fields that are tagged as personal.
	ShowData bool
	// Schemas reads data that is no JSON, or whose type no catalogue knows, by the schema
	// that its event names; nil reads none. It is asked where data is to be shown alone.
	Schemas Schemas

	// Protobuf has the AsyncAPI document with the schemas of Protobuf events as .proto text,
	// as catalog.AsyncAPIConfig.Protobuf has it; nil leaves them as they are.
	Protobuf func(schema json.RawMessage) (format, text string, err error)

	// TraceURL leads to a trace, with {trace} in the place of its id: events link to
	// it. Empty for no links.
	TraceURL string

	// Title is shown on every page. Default: the service of the bus, or the environment.
	Title string
	// Location is the time zone of the times that are shown. Default time.Local.
	Location *time.Location
	// Logger receives every order with who gave it and why, and failed logins. Nil is that
	// of the bus; where there is none they are discarded.
	Logger *slog.Logger
}

// Member is a process that serves package admin's handler.
type Member struct {
	// URL of the handler, http://host:port or https://…
	URL string
	// Token is sent to it as a bearer token. It is not sent over plain http except to
	// this machine: New refuses that.
	Token secret.Value
	// TLS is what https goes by, such as the authority that signed the member's
	// certificate. Nil trusts those of the machine. It is not changed.
	TLS *tls.Config
}

// Token is what a user shows to be let in, and the name by which the log knows them.
type Token struct {
	Name  string
	Value secret.Value
}

// Schemas reads data by the schema that its event names, such as Avro of a registry's. It
// returns nil for an event that names none, and is called concurrently. It keeps nothing
// of the event.
type Schemas func(context.Context, *eventbus.Envelope) (*SchemaData, error)

// SchemaData is data that was read by its schema.
type SchemaData struct {
	// Schema is what people call the schema.
	Schema string
	// JSON is the data as JSON, nil if it could not be read.
	JSON []byte
	// Fields is a JSON Schema of it that marks personal fields, as the catalogue's do. What
	// it does not describe is not shown. Nil describes nothing.
	Fields map[string]any
}

// Validate returns an error that names every wrong field, or nil. It shows no token.
// It asks nobody: an address that nothing answers at is no fault of the configuration.
func (c *Config) Validate() error {
	var wrong []error
	// All faults are collected, so that they can be mended at once.
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("console: "+format, args...)) }
	if c.Bus == nil && c.Cluster == nil && len(c.Members) == 0 {
		add("nothing to show: set Bus, Members or Cluster")
	}
	for _, m := range c.Members {
		if err := m.validate(); err != nil {
			wrong = append(wrong, err)
		}
	}
	if c.Environment != "" {
		if _, err := naming.Environment(c.Environment); err != nil {
			add("Environment: %w", err)
		}
	}
	names := map[string]bool{}
	for i, t := range c.Tokens {
		switch {
		case t.Name == "" || names[t.Name]:
			add("Tokens[%d]: %q is no name of its own: the log tells users apart by it", i, t.Name)
		case t.Value.IsZero():
			add("Tokens[%d]: %s has no token, which would admit everyone", i, t.Name)
		}
		names[t.Name] = true
	}
	for _, h := range c.Hosts {
		// A colon is part of an IPv6 address, or begins a port: requests are compared by the
		// name alone.
		if h == "" || strings.ContainsAny(h, "/ ") || strings.Contains(h, ":") && net.ParseIP(h) == nil {
			add("Hosts: %q is no host name: write it without scheme and port", h)
		}
	}
	if c.TraceURL != "" && (!strings.HasPrefix(c.TraceURL, "https://") && !strings.HasPrefix(c.TraceURL, "http://") || !strings.Contains(c.TraceURL, "{trace}")) {
		add("TraceURL: write https://… with {trace} where the trace's id goes")
	}
	// Zero is the default.
	if c.Session < 0 {
		add("Session: %v is negative", c.Session)
	}
	return errors.Join(wrong...)
}

// validate returns an error that shows neither the token nor a password in the address.
func (m *Member) validate() error {
	u, err := url.Parse(m.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("console: member %q: write http://host:port or https://host:port", m.URL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("console: member %s: the address is shown on pages: leave out users, queries and fragments, and give the token by Token", u.Redacted())
	}
	if u.Scheme == "http" && !m.Token.IsZero() && !loopback(u.Hostname()) {
		return fmt.Errorf("console: member %s: the token is not sent over plain http, where it could be read: use https, or a tunnel to this machine", m.URL)
	}
	return nil
}

// withDefaults returns the configuration with defaults in place of zero fields.
func (c Config) withDefaults() Config {
	if c.Session == 0 {
		c.Session = 12 * time.Hour
	}
	if c.Location == nil {
		c.Location = time.Local
	}
	// The bus has been told these already: a console beside it needs none again.
	if c.Bus != nil {
		declared := c.Bus.Operator().Declarations()
		if c.Logger == nil {
			c.Logger = declared.Logger
		}
		if c.Environment == "" {
			c.Environment = declared.Environment
		}
		if c.Title == "" {
			c.Title = declared.Service
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Title == "" {
		c.Title = c.Environment
	}
	if c.Title == "" {
		c.Title = "event bus"
	}
	return c
}

// loopback reports whether a host is certainly this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}
