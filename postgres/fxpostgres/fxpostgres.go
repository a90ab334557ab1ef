package fxpostgres

import (
	"context"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/postgres/inbox"
	"github.com/eventbus-go/eventbus/postgres/outbox"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"
)

// Module provides an *outbox.Relay, which runs with the application, and an
// *inbox.Inbox, which is cleaned while the application runs. An outbox.Config or an
// inbox.Config in the container changes their defaults. The tables must exist: see
// [Migrate].
var Module = fx.Module("eventbus.postgres",
	fx.Provide(newRelay, newInbox),
	fx.Invoke(migrate, runRelay, runInbox),
)

// Migrate creates or updates the tables before the relay starts. Omit it if something
// else runs the migrations.
func Migrate() fx.Option { return fx.Supply(new(migration)) }

// migration, if it is in the container, makes the application migrate.
type migration struct{}

// FromEnvironment provides an outbox.Config and an inbox.Config from the sections
// Outbox and Inbox of the sources that package config reads. Its options are those of
// config.Load. An unknown key is an error at start.
func FromEnvironment(options ...config.Option) fx.Option {
	return fx.Provide(
		func() (c outbox.Config, err error) { return c, config.LoadSection("Outbox", &c, options...) },
		func() (c inbox.Config, err error) { return c, config.LoadSection("Inbox", &c, options...) },
	)
}

// Publisher provides an *outbox.Publisher[T] for a topic.
func Publisher[T any](topic *eventbus.Topic[T]) fx.Option {
	return fx.Provide(func(bus *eventbus.Bus, p params) *outbox.Publisher[T] {
		return outbox.For(eventbus.NewPublisher(bus, topic)).In(p.Outbox.Table)
	})
}

// Idempotent puts the inbox around every handler of the bus.
func Idempotent() fx.Option {
	return fx.Invoke(func(bus *eventbus.Bus, in *inbox.Inbox) error { return bus.Use(eventbus.Idempotent(in)) })
}

type params struct {
	fx.In
	Pool   *pgxpool.Pool
	Outbox outbox.Config `optional:"true"`
	Inbox  inbox.Config  `optional:"true"`
}

// migrations has what migrate needs.
type migrations struct {
	fx.In
	Params  params
	Migrate *migration `optional:"true"`
}

func migrate(life fx.Lifecycle, m migrations) {
	if m.Migrate == nil {
		return
	}
	life.Append(fx.StartHook(func(ctx context.Context) error {
		if err := outbox.Migrate(ctx, m.Params.Pool, m.Params.Outbox.Table); err != nil {
			return err
		}
		return inbox.Migrate(ctx, m.Params.Pool, m.Params.Inbox.Table)
	}))
}

func newRelay(bus *eventbus.Bus, p params) (*outbox.Relay, error) {
	return outbox.NewRelay(bus, p.Pool, p.Outbox)
}

func newInbox(p params) (*inbox.Inbox, error) { return inbox.New(p.Pool, p.Inbox) }

func runRelay(life fx.Lifecycle, relay *outbox.Relay, end fx.Shutdowner) {
	run(life, relay.Run, end)
}

func runInbox(life fx.Lifecycle, in *inbox.Inbox, end fx.Shutdowner) { run(life, in.Run, end) }

// run runs do between start and stop. If do fails before the stop, the application
// ends: without a relay, events would silently stay unpublished.
func run(life fx.Lifecycle, do func(context.Context) error, end fx.Shutdowner) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	life.Append(fx.StartStopHook(
		func() {
			go func() {
				err := do(ctx)
				done <- err
				if err != nil {
					_ = end.Shutdown(fx.ExitCode(1))
				}
			}()
		},
		func(stopping context.Context) error {
			cancel()
			select {
			case err := <-done:
				return err
			case <-stopping.Done():
				return stopping.Err()
			}
		}))
}
