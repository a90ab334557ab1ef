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

// Config says what a console shows, and to whom. At least one of Bus, Members and Cluster
// is required.
type Config struct {
	// Bus is the bus of this process.
	Bus *eventbus.Bus
	// Members are the admin handlers of other processes; see package admin.
	Members []Member
	// Cluster supplies what members don't know: groups without members, dead letters,
	// the stories of events, the brokers. The caller closes it after the console.
	Cluster *kafka.Transport
	// Environment names the environment, such as Production, whose topics are shown.
	// Default: that of Bus; without a Bus, all topics are shown.
	Environment string
	// Catalog declares how topics should be. If set, the console shows how the members
	// differ from it; otherwise it shows their own catalogues.
	Catalog *catalog.Document
	// Outbox returns the state of an outbox's relays; nil if there is none.
	Outbox Outbox
	// Checks returns findings of a doctor in addition to the console's own; nil adds
	// none.
	Checks func(context.Context) []Finding

	// Tokens let users log in. Without any, only this machine has access, by a loopback
	// address: everyone who has an account on it.
	Tokens []Token
	// Hosts are the names, without ports, by which users reach the console, in addition
	// to loopback ones. Requests that name another host are refused. Without any, a
	// console with Tokens accepts IP addresses and, on connections to an address that is not a
	// loopback one, every name. A proxy on this machine that passes the browser's host name on
	// needs it here.
	Hosts []string
	// Session is how long a user stays logged in, at most until the token is replaced.
	// Default 12 h.
	Session time.Duration
	// ReadOnly refuses every order.
	ReadOnly bool
	// ShowData shows the data of events whose type the catalogue knows, without the
	// fields that are tagged as personal.
	ShowData bool
	// Schemas decodes data that is not JSON, or whose type no catalogue knows, by the
	// schema that its event names; nil decodes none. It is called only to show data.
	Schemas Schemas

	// Protobuf makes the AsyncAPI document show the schemas of Protobuf events as .proto
	// text, like catalog.AsyncAPIConfig.Protobuf; nil leaves them unchanged.
	Protobuf func(schema json.RawMessage) (format, text string, err error)

	// TraceURL is the address of a trace, with {trace} in place of its id. Events link
	// to it. Empty means no links.
	TraceURL string

	// Title is shown on every page. Default: the service of the bus, or the environment.
	Title string
	// Location is the time zone of displayed times. Default time.Local.
	Location *time.Location
	// Logger receives every order with who gave it and why, and as warnings orders that were
	// refused and failed logins: of many at once ten, then one a second, which counts the others.
	// Those are logged for debugging. Nil means the bus's logger; without a Bus they are discarded.
	Logger *slog.Logger
}

// Member is a process that serves package admin's handler.
type Member struct {
	// URL of the handler, http://host:port or https://…
	URL string
	// Token is sent to the member as a bearer token. New refuses a token that would be
	// sent over plain http to another machine.
	Token secret.Value
	// TLS configures https, for example with the authority that signed the member's
	// certificate. Nil uses the machine's authorities. It is not changed.
	TLS *tls.Config
}

// Token is the token of one user, and the name that the log shows for them.
type Token struct {
	Name  string
	Value secret.Value
}

// Schemas decodes data by the schema that its event names, such as Avro in a registry.
// It returns nil if the event names none. It must be safe for concurrent use, and must
// not keep the event.
type Schemas func(context.Context, *eventbus.Envelope) (*SchemaData, error)

// SchemaData is data that was decoded by its schema.
type SchemaData struct {
	// Schema is the schema's display name.
	Schema string
	// JSON is the data as JSON; nil if it could not be decoded.
	JSON []byte
	// Fields is a JSON Schema of the data that marks personal fields, like the
	// catalogue's. What it does not describe is not shown. Nil describes nothing.
	Fields map[string]any
}

// Validate returns an error that names every wrong field, or nil. It shows no token and
// does no I/O: an address where nothing answers is not an error.
func (c *Config) Validate() error {
	var wrong []error
	// All faults are collected, so that they can be fixed in one go.
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
			add("Tokens[%d]: %q is empty or not unique: the log tells users apart by name", i, t.Name)
		case t.Value.IsZero():
			add("Tokens[%d]: %s has no token, which would admit everyone", i, t.Name)
		}
		names[t.Name] = true
	}
	for _, h := range c.Hosts {
		// A colon is part of an IPv6 address or begins a port, and requests are compared by
		// the name alone.
		if h == "" || strings.ContainsAny(h, "/ ") || strings.Contains(h, ":") && net.ParseIP(h) == nil {
			add("Hosts: %q is not a host name: write it without scheme and port", h)
		}
	}
	if c.TraceURL != "" && (!strings.HasPrefix(c.TraceURL, "https://") && !strings.HasPrefix(c.TraceURL, "http://") || !strings.Contains(c.TraceURL, "{trace}")) {
		add("TraceURL: write https://… with {trace} where the trace's id goes")
	}
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
	// The bus has been given these already, so a console with a bus needs none of its own.
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
