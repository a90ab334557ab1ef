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
// starts until after it has drained: the inspection of the bus, the catalogue, pausing
// and un-parking, and the log level.
//
// An empty addr stands for the configuration's, EventBus:Admin:Address; if that is
// empty too, nothing is served. The token is that of EventBus:Admin:Token, or of a
// config.Config in the container. An address without a host, such as ":8081", is a
// loopback one; Start fails for any other address without a token. Port 0 chooses a
// free one, which *AdminEndpoint, provided by this option, returns.
func AdminServer(addr string) fx.Option {
	return fx.Provide(func() *AdminEndpoint { return &AdminEndpoint{endpoint{call: "AdminServer", address: addr}} })
}

// AdminOption adds an option of package admin, such as admin.Protobuf, to
// AdminServer's handler. AdminServer itself sets the token and the log level.
func AdminOption(option admin.Option) fx.Option {
	return fx.Provide(fx.Annotate(func() admin.Option { return option }, fx.ResultTags(`group:"eventbus.admin"`)))
}

// AdminEndpoint is where AdminServer serves.
type AdminEndpoint struct{ endpoint }

// Addr returns the address of the listener; nil before the start, and if nothing is
// served. It is safe for concurrent use.
func (e *AdminEndpoint) Addr() net.Addr { return e.addr() }

// AdminPages are pages for browsers that AdminServer serves below /console/, beside its
// own paths. They control access themselves. Package fxconsole provides them; it is
// separate because rendering pages adds megabytes to a program.
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

// serve sets what to serve, and reports whether anything is served.
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
