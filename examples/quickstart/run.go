package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/quickstart/mailer"
	"github.com/eventbus-go/eventbus/examples/quickstart/salesapi"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest/embedded"
)

// options holds the flags, and what tests add.
type options struct {
	brokers []string
	role    string
	listen  string
	health  string
	// once ends the process after the walk-through, instead of at Ctrl-C.
	once bool
	out  io.Writer
	// more is added to every application, after everything else. Tests put
	// their cluster there.
	more fx.Option
}

// quickstart is a process that runs one service or both.
type quickstart struct {
	options
	// printing keeps the lines of services that run at the same time apart.
	printing sync.Mutex
	apps     []*fx.App
	// address receives the address of sales-api once it listens.
	address chan net.Addr
	// mails and refused tell the walk-through what mailer did: the addresses
	// that it sent mail to, and the errors of events that it did not handle.
	mails   chan string
	refused chan error
}

// run starts the services, walks through what they do, and stops them when ctx
// ends.
func run(ctx context.Context, o options) (err error) {
	// The channels have room, so that services don't wait for the walk-through: address
	// is sent while sales-api starts, and offer drops what does not fit.
	q := &quickstart{options: o, address: make(chan net.Addr, 1), mails: make(chan string, 100), refused: make(chan error, 100)}
	if len(o.brokers) == 0 {
		broker, err := embedded.Start(embedded.Config{})
		if err != nil {
			return err
		}
		// Deferred before stop, so the broker ends after the services, whose last commits
		// it takes.
		defer broker.Close()
		q.brokers = broker.Brokers()
		q.say("broker", "a Kafka broker inside this process listens on %s", q.brokers[0])
	}
	defer func() { err = errors.Join(err, q.stop()) }()
	// Before mailer starts: it shall find an event of the earlier version in
	// the log.
	if o.role == roleAll {
		if err := q.publishV1(ctx); err != nil {
			return err
		}
	}
	if o.role != roleMailer {
		if err := q.start(ctx, "sales-api", salesapi.Module, fx.Supply(salesapi.Address(o.listen)),
			fx.Supply(salesapi.Listening(func(a net.Addr) { q.address <- a }))); err != nil {
			return err
		}
	}
	if o.role != roleSalesAPI {
		if err := q.start(ctx, "mailer", mailer.Module, fx.Supply(fx.Annotate(&outbox{q}, fx.As(new(mailer.Outbox)))),
			// An Invoke runs before the bus starts, which takes no middleware afterwards.
			fxmodule.HealthServer(o.health), fx.Invoke(func(bus *eventbus.Bus) error { return bus.Use(q.observe) })); err != nil {
			return err
		}
		q.say("mailer", "waits for customers; its health: http://%s/health", o.health)
	}
	if o.role != roleMailer {
		address := <-q.address
		q.say("sales-api", "listens; its health: http://%s/health", address)
		if o.role == roleAll {
			if err := q.walkThrough(ctx, address.String()); err != nil {
				return err
			}
		}
		if !o.once {
			q.say("you", `try: curl -d '{"givenName":"Alan","familyName":"Turing","email":"alan@example.com"}' http://%s/customers`, address)
		}
	}
	if !o.once {
		q.say("you", "end it with Ctrl-C")
		<-ctx.Done()
	}
	return nil
}

// service returns an application with what every service has: the bus on its
// cluster, and a log.
func (q *quickstart) service(name string, more ...fx.Option) *fx.App {
	level := slog.LevelWarn
	if q.role == roleAll {
		// The walk-through prints the failure that it provokes, more briefly
		// than the log would.
		level = slog.LevelError
	}
	log := slog.New(slog.NewTextHandler(writer{q}, &slog.HandlerOptions{Level: level})).With("service", name)
	options := []fx.Option{
		// fx would log each constructor between the lines of the walk-through.
		fx.NopLogger,
		fxmodule.Module,
		fx.Supply(
			kafka.Config{Brokers: q.brokers},
			eventbus.Config{Service: name, Environment: "Development", Source: "urn:momentum:" + name},
			log,
		),
		fx.Options(more...),
	}
	if q.more != nil {
		// Last, so that it can decorate what the options above provide.
		options = append(options, q.more)
	}
	return fx.New(options...)
}

// start starts a service, which then runs until stop.
func (q *quickstart) start(ctx context.Context, name string, more ...fx.Option) error {
	app := q.service(name, more...)
	ctx, cancel := context.WithTimeout(ctx, app.StartTimeout())
	defer cancel()
	if err := app.Start(ctx); err != nil {
		return fmt.Errorf("%s does not start: %w", name, err)
	}
	// Only now: fx has stopped an application itself if its start failed.
	q.apps = append(q.apps, app)
	return nil
}

// stop stops the services in reverse order.
func (q *quickstart) stop() (err error) {
	for _, app := range slices.Backward(q.apps) {
		// Not run's context, which Ctrl-C has ended. Each service has its own time, and is
		// stopped also where another did not.
		ctx, cancel := context.WithTimeout(context.Background(), app.StopTimeout())
		err = errors.Join(err, app.Stop(ctx))
		cancel()
	}
	// run may have failed before anything was started.
	if err == nil && len(q.apps) > 0 {
		q.say("you", "everything is finished, committed and closed")
	}
	return err
}

// say prints a line, with the service's name before it.
func (q *quickstart) say(who, format string, args ...any) {
	q.printing.Lock()
	defer q.printing.Unlock()
	_, _ = fmt.Fprintf(q.out, "%-10s %s\n", who, fmt.Sprintf(format, args...))
}

// writer writes the services' logs between the lines of say.
type writer struct{ q *quickstart }

// Write implements io.Writer. A handler of slog writes a line with one call, so lines
// stay whole.
func (w writer) Write(line []byte) (int, error) {
	w.q.printing.Lock()
	defer w.q.printing.Unlock()
	return w.q.out.Write(line)
}

// outbox prints mails in place of sending them.
type outbox struct{ q *quickstart }

// Send implements mailer.Outbox. It never fails, so mailer has nothing to retry.
func (o *outbox) Send(_ context.Context, to, text string) error {
	o.q.say("mailer", "sends to %s: %s", to, text)
	offer(o.q.mails, to)
	return nil
}

// observe is a middleware around mailer's handlers that passes on their errors.
func (q *quickstart) observe(next eventbus.Handler) eventbus.Handler {
	return func(ctx context.Context, d *eventbus.Delivery) error {
		err := next(ctx, d)
		if err != nil {
			offer(q.refused, err)
		}
		return err
	}
}

// offer sends without waiting: after the walk-through nothing receives any
// more.
func offer[T any](to chan<- T, what T) {
	select {
	case to <- what:
	default:
	}
}
