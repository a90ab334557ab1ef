package fxmodule

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

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

// AdminOption has AdminServer's handler made with an option of package admin, such as
// admin.Protobuf. The token and the log level are AdminServer's own.
func AdminOption(option admin.Option) fx.Option {
	return fx.Provide(fx.Annotate(func() admin.Option { return option }, fx.ResultTags(`group:"eventbus.admin"`)))
}

// AdminEndpoint is where AdminServer serves.
type AdminEndpoint struct{ endpoint }

// Addr is the address that is listened on; nil before the start, and where nothing
// is served. It is safe for concurrent use.
func (e *AdminEndpoint) Addr() net.Addr { return e.addr() }

// AdminPages are pages for browsers that AdminServer serves below /console/, beside its
// own paths and by their own rules for who may ask. Package fxconsole provides them; it
// is apart, since what pages are made with takes megabytes of a program.
type AdminPages interface {
	http.Handler
	// Close ends streams, so that the server can shut down.
	Close(context.Context) error
}

// withPages returns a handler that serves pages as well, and leads browsers to them.
func withPages(admin http.Handler, pages AdminPages) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", admin)
	mux.Handle("/console/", http.StripPrefix("/console", pages))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Accept"), "text/html") {
			admin.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Location", "console/")
		w.WriteHeader(http.StatusSeeOther)
	})
	return mux
}

// serve says what to serve, and whether anything is.
func (e *AdminEndpoint) serve(bus *eventbus.Bus, logger *slog.Logger, level *logLevel, c config.Config, more []admin.Option, pages AdminPages) (bool, error) {
	c.Admin.Address = cmp.Or(e.address, c.Admin.Address)
	e.address = c.Admin.Address
	if e.address == "" {
		return false, nil
	}
	if err := c.Admin.Validate(); err != nil {
		return false, fmt.Errorf("fxmodule: AdminServer: %w", err)
	}
	options := append(more, admin.LogLevel(level))
	if !c.Admin.Token.IsZero() {
		options = append(options, admin.Token(c.Admin.Token))
	}
	handler := admin.Handler(bus, options...)
	if pages != nil {
		handler = withPages(handler, pages)
	}
	e.endpoint.serve(handler, logger)
	if pages != nil {
		e.server.RegisterOnShutdown(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = pages.Close(ctx) // of what it left, Shutdown tells
		})
	}
	return true, nil
}
