package fxmodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/admin"
)

// endpoint serves a handler on an address, by default a loopback one.
type endpoint struct {
	call     string // that the program makes for it
	address  string
	server   *http.Server
	logger   *slog.Logger
	listener atomic.Pointer[net.Listener]
	served   chan struct{} // closed when Serve has returned
}

// addr returns the address that is listened on, nil before the start.
func (e *endpoint) addr() net.Addr {
	if l := e.listener.Load(); l != nil {
		return (*l).Addr()
	}
	return nil
}

// serve sets what start will serve. The bounds keep a slow client from holding a connection,
// and with it stop.
func (e *endpoint) serve(handler http.Handler, logger *slog.Logger) {
	e.logger = logger
	e.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second, // also for a client that reads nothing
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// start listens before it returns: an address that is in use fails the start.
func (e *endpoint) start(ctx context.Context) error {
	address := admin.Config{Address: e.address}.Listening() // health's, too, is a loopback one without a host
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("fxmodule: %s(%q) can't listen: %w", e.call, e.address, err)
	}
	e.listener.Store(&listener)
	e.served = make(chan struct{})
	go func() {
		defer close(e.served)
		if err := e.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			e.logger.Error("server ended", "server", e.call, "error", err)
		}
	}()
	return nil
}

// stop lets running requests finish, and returns when nothing is served any more.
func (e *endpoint) stop(ctx context.Context) error {
	ctx, cancel := mostOf(ctx, 0)
	defer cancel()
	err := e.server.Shutdown(ctx)
	if err != nil {
		// Time is up: cut the remaining connections.
		err = errors.Join(err, e.server.Close())
	}
	<-e.served
	return err
}
