package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/eventbus-go/eventbus/secret"
)

// Config says where a handler is served, and to whom. The zero value serves nothing.
// A Config never shows its token, however it is printed or logged.
type Config struct {
	// Address is host:port; if it is empty, nothing is served. Without a host, as in
	// ":8081", the address is a loopback one: an admin page must not be open to a
	// network by omission.
	Address string
	// Token is the bearer token that callers must send. It is required unless Address
	// is a loopback address. It is read at each request, so a token in a file can be
	// replaced without a restart.
	Token secret.Value
}

// Validate returns an error that says what is wrong and how to fix it, without the
// token.
func (c Config) Validate() error {
	if c.Address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return fmt.Errorf("admin: %q is not an address: write host:port", c.Address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("admin: %q has no port from 0 to 65535", c.Address)
	}
	if c.Token.IsZero() && host != "" && !loopback(host) {
		return fmt.Errorf("admin: %s is open to other machines and there is no token: set one, or serve on a loopback address such as 127.0.0.1:%s", c.Address, port)
	}
	token, err := c.Token.Reveal()
	if err != nil {
		return fmt.Errorf("admin: the token can't be read: %w", err)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("admin: the token has characters that a header can't carry: use visible ASCII")
	}
	return nil
}

// Listening returns the address to listen on.
func (c Config) Listening() string {
	if host, port, err := net.SplitHostPort(c.Address); err == nil && host == "" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return c.Address
}

// String returns the configuration without the token.
func (c Config) String() string {
	return fmt.Sprintf("admin.Config{Address: %q, Token: %s}", c.Address, map[bool]string{true: "none", false: "set"}[c.Token.IsZero()])
}

// Format prints String for every verb: %+v would show the token.
func (c Config) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue implements slog.LogValuer. It returns String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// loopback reports whether a host, as in an address or a Host header, is certainly
// this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}
