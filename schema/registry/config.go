package registry

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/secret"
)

// Config says where the registry is and how to sign in. At least one of URLs and Offline
// is required. A Config does not show its secrets, in whatever way it is printed.
type Config struct {
	// URLs are the servers of one registry, tried in turn. Each is the root of
	// Confluent's API, such as http://registry:8081 or
	// https://apicurio/apis/ccompat/v7.
	URLs []string
	// Username and Password sign in by HTTP basic authentication, Token as a bearer
	// token, Client by OAuth's client credentials. At most one of them may be set.
	// Password and Token are read at each request, so one in a file can be replaced
	// without a restart.
	Username string
	Password secret.Value
	Token    secret.Value
	Client   *ClientCredentials
	// TLS is the configuration for https; nil means Go's default. A certificate in it
	// signs in by mutual TLS.
	TLS *tls.Config

	// Offline is a directory written by `eventbus schemas pull`. It is consulted
	// before the servers, or alone if there are none.
	Offline fs.FS

	// Timeout bounds one call, by default 5 s. UnknownFor is how long to wait for an
	// unknown id, by default one minute.
	Timeout    time.Duration
	UnknownFor time.Duration
	// CacheSize bounds the number of cached schemas, by default 1,000. Others are
	// requested again.
	CacheSize int
	// Logger logs warnings. Default slog.Default().
	Logger *slog.Logger
}

// ClientCredentials is OAuth 2.0's grant of that name (RFC 6749, section 4.4).
type ClientCredentials struct {
	TokenURL     string
	ClientID     string
	ClientSecret secret.Value
	Scopes       []string
}

// setDefaults sets zero fields to their defaults.
func (c *Config) setDefaults() {
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.UnknownFor = cmp.Or(c.UnknownFor, time.Minute)
	c.CacheSize = cmp.Or(c.CacheSize, 1000)
	c.Logger = cmp.Or(c.Logger, slog.Default())
}

// check returns an error that names every invalid field.
func (c *Config) check() error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if len(c.URLs) == 0 && c.Offline == nil {
		add("URLs is empty: name the registry, as http://localhost:8081, or set Offline")
	}
	for i, text := range c.URLs {
		checkURL(fmt.Sprintf("URLs[%d]", i), text, add)
	}
	// With two ways to sign in, one of them would be silently ignored.
	ways := 0
	if c.Username != "" || !c.Password.IsZero() {
		ways++
	}
	if !c.Token.IsZero() {
		ways++
	}
	if o := c.Client; o != nil {
		ways++
		checkURL("Client.TokenURL", o.TokenURL, add)
		if o.ClientID == "" || o.ClientSecret.IsZero() {
			add("Client needs ClientID and ClientSecret")
		}
	}
	if ways > 1 {
		add("more than one of Username, Token and Client is set: keep one")
	}
	if c.Timeout < 0 || c.UnknownFor < 0 || c.CacheSize < 0 {
		add("Timeout, UnknownFor and CacheSize can't be negative: leave them out for the defaults")
	}
	return errors.Join(wrong...)
}

// checkURL refuses parts of a URL that would be lost when paths are joined to it, and
// users, since URLs are logged and shown.
func checkURL(field, text string, add func(string, ...any)) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		add("%s is not an http or https URL: write for example http://localhost:8081", field) // its text may hold a secret
	case u.User != nil:
		add("%s has a user in it: set Username and Password instead", field)
	case u.RawQuery != "" || u.Fragment != "":
		add("%s has a query or fragment: remove it", field)
	}
}

// String describes the configuration without its secrets.
func (c Config) String() string {
	how := "without signing in"
	switch {
	case c.Client != nil:
		how = "by client credentials"
	case !c.Token.IsZero():
		how = "by a token"
	case c.Username != "" || !c.Password.IsZero():
		how = "by name and password"
	}
	where := strings.Join(c.URLs, ",")
	if checked := (&Config{URLs: c.URLs, Offline: c.Offline}).check(); checked != nil {
		where = "(invalid URLs)"
	}
	if c.Offline != nil {
		where = strings.TrimPrefix(where+" and a directory", " and ")
	}
	return fmt.Sprintf("schema registry %s %s", where, how)
}

// Format prints String for every verb, so that no verb prints secrets.
func (c Config) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue logs String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
