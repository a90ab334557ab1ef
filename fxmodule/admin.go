package fxmodule

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/config"
)

// AdminServer serves package admin's handler on an address, from before the bus
// starts until after it has drained: what the bus does, the catalogue, pausing and
// un-parking, and the level of the logs.
//
// With an empty address, that of the configuration, EventBus:Admin:Address; where
// there is none either, nothing is served. The token is EventBus:Admin:Token's, or
// that of a config.Config in the container. An address without a host, as ":8081",
// is a loopback one; any other that is not needs a token, or Start fails. Port 0
// takes a free one, which the *AdminEndpoint that this provides tells.
func AdminServer(addr string) fx.Option {
	return fx.Provide(func() *AdminEndpoint { return &AdminEndpoint{endpoint{call: "AdminServer", address: addr}} })
}

// AdminEndpoint is where AdminServer serves.
type AdminEndpoint struct{ endpoint }

// Addr is the address that is listened on; nil before the start, and where nothing
// is served. It is safe for concurrent use.
func (e *AdminEndpoint) Addr() net.Addr { return e.addr() }

// serve says what to serve, and whether anything is.
func (e *AdminEndpoint) serve(bus *eventbus.Bus, logger *slog.Logger, level *logLevel, c config.Config) (bool, error) {
	c.Admin.Address = cmp.Or(e.address, c.Admin.Address)
	e.address = c.Admin.Address
	if e.address == "" {
		return false, nil
	}
	if err := c.Admin.Validate(); err != nil {
		return false, fmt.Errorf("fxmodule: AdminServer: %w", err)
	}
	options := []admin.Option{admin.LogLevel(level)}
	if !c.Admin.Token.IsZero() {
		options = append(options, admin.Token(c.Admin.Token))
	}
	e.endpoint.serve(admin.Handler(bus, options...), logger)
	return true, nil
}
