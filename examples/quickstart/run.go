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

// options are what the flags say.
type options struct {
	brokers []string
	role    string
	listen  string
	health  string
	once    bool
	out     io.Writer
	// more goes into every application, last.
	more fx.Option
}

// quickstart is a process with one service or both.
type quickstart struct {
	options
	printing sync.Mutex
	apps     []*fx.App
	address  chan net.Addr // of sales-api
	mails    chan string   // addresses that mails went to
	refused  chan error    // what mailer said to events that it did not handle
}

func run(ctx context.Context, o options) (err error) {
	q := &quickstart{options: o, address: make(chan net.Addr, 1), mails: make(chan string, 100), refused: make(chan error, 100)}
	if len(o.brokers) == 0 {
		broker, err := embedded.Start(embedded.Config{})
		if err != nil {
			return err
		}
		defer broker.Close()
		q.brokers = broker.Brokers()
		q.say("broker", "a Kafka broker inside this process listens on %s", q.brokers[0])
	}
	defer func() { err = errors.Join(err, q.stop()) }()
	if o.role == roleAll {
		if err := q.tellHistory(ctx); err != nil {
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
			fxmodule.HealthServer(o.health), fx.Invoke(func(bus *eventbus.Bus) { bus.Use(q.listenIn) })); err != nil {
			return err
		}
		q.say("mailer", "waits for customers; its health: http://%s/health", o.health)
	}
	if o.role != roleMailer {
		address := <-q.address
		q.say("sales-api", "listens; its health: http://%s/health", address)
		if o.role == roleAll {
			if err := q.tellStory(ctx, address.String()); err != nil {
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

// service is what every service is made of: the bus on its cluster, and a log.
func (q *quickstart) service(name string, more ...fx.Option) *fx.App {
	level := slog.LevelWarn
	if q.role == roleAll {
		level = slog.LevelError // what goes wrong in the story is told by it
	}
	log := slog.New(slog.NewTextHandler(writer{q}, &slog.HandlerOptions{Level: level})).With("service", name)
	options := []fx.Option{
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
		options = append(options, q.more)
	}
	return fx.New(options...)
}

// start runs a service until the end of the process.
func (q *quickstart) start(ctx context.Context, name string, more ...fx.Option) error {
	app := q.service(name, more...)
	ctx, cancel := context.WithTimeout(ctx, app.StartTimeout())
	defer cancel()
	if err := app.Start(ctx); err != nil {
		return fmt.Errorf("%s does not start: %w", name, err)
	}
	q.apps = append(q.apps, app)
	return nil
}

// stop ends the services, the last one first.
func (q *quickstart) stop() (err error) {
	for _, app := range slices.Backward(q.apps) {
		ctx, cancel := context.WithTimeout(context.Background(), app.StopTimeout())
		err = errors.Join(err, app.Stop(ctx))
		cancel()
	}
	if err == nil && len(q.apps) > 0 {
		q.say("you", "everything is finished, committed and closed")
	}
	return err
}

// say prints a line of the story.
func (q *quickstart) say(who, format string, args ...any) {
	q.printing.Lock()
	defer q.printing.Unlock()
	_, _ = fmt.Fprintf(q.out, "%-10s %s\n", who, fmt.Sprintf(format, args...))
}

// writer lets a log write between the story's lines.
type writer struct{ q *quickstart }

func (w writer) Write(line []byte) (int, error) {
	w.q.printing.Lock()
	defer w.q.printing.Unlock()
	return w.q.out.Write(line)
}

// outbox prints mails in place of sending them.
type outbox struct{ q *quickstart }

func (o *outbox) Send(_ context.Context, to, text string) error {
	o.q.say("mailer", "sends to %s: %s", to, text)
	tell(o.q.mails, to)
	return nil
}

// listenIn is a middleware around mailer's handlers.
func (q *quickstart) listenIn(next eventbus.Handler) eventbus.Handler {
	return func(ctx context.Context, d *eventbus.Delivery) error {
		err := next(ctx, d)
		if err != nil {
			tell(q.refused, err)
		}
		return err
	}
}

// tell does not wait: when the story is over nobody listens any more.
func tell[T any](to chan<- T, what T) {
	select {
	case to <- what:
	default:
	}
}
