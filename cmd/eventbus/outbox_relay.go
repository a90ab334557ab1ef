package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/postgres/outbox"
)

// newOutboxRelayCommand returns the command that runs a relay outside of a service, so that
// publishing does not depend on the service's deployments.
func newOutboxRelayCommand(a *app, f *outboxFlags) *cobra.Command {
	var from string
	var unfenced bool
	c := &cobra.Command{
		Use: "relay", Short: "Send what the outbox holds to Kafka, until interrupted",
		Long: `Send what the outbox holds to Kafka, until interrupted. Any number of relays may
run, here or in services: one of a name leads, and another takes over.

A name that has no cursor says where it begins by --from. The name default has
one from the migration on: if that is gone, it was lost, and --from oldest sends
again what the table still holds. Batch, PollInterval, Lease and whatever else a
relay can be told is read from the section Outbox of the configuration.`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.action(func(ctx context.Context, _ []string) error {
			return a.withPool(ctx, f, func(pool *pgxpool.Pool) error { return a.outboxRelay(ctx, pool, f, from, unfenced) })
		}),
	}
	c.Flags().Var(newChoice(&from, "cursor", "oldest", "now"), "from", "`where` to begin: cursor, oldest or now")
	c.Flags().BoolVar(&unfenced, "unfenced", false, "without Kafka transactions: a relay that was frozen may send a batch late")
	complete(c, "from", a.fixed("cursor", "oldest", "now"))
	return c
}

// outboxRelay runs a relay until ctx is canceled. The relay does not own the bus and the
// pool, which are closed after it has stopped.
func (a *app) outboxRelay(ctx context.Context, pool *pgxpool.Pool, f *outboxFlags, from string, unfenced bool) (err error) {
	c, err := a.settings()
	if err != nil {
		return err
	}
	// A relay has no output; its log shows what it does.
	logger := slog.New(slog.NewTextHandler(a.stderr, nil))
	c.Bus.Logger = logger
	if c.Bus.Environment == "" {
		c.Bus.Environment = noEnvironment // rows name their topics in full
	}
	// The bus owns the transport from here on, and closes it.
	bus, err := eventbus.New(kafka.New(c.Kafka), c.Bus)
	if err != nil {
		return err
	}
	// ctx has usually been canceled by then, and Close needs time to flush.
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, bus.Close(ending))
	}()
	var options []config.Option
	if a.config != "" {
		options = append(options, config.Files(a.config))
	}
	var o outbox.Config
	if err := config.LoadSection("Outbox", &o, options...); err != nil {
		return err
	}
	// Flags override the section, so that one file serves several relays.
	o.Table.Schema, o.Table.Name = cmp.Or(f.schema, o.Table.Schema), cmp.Or(f.table, o.Table.Name)
	o.Name = cmp.Or(f.relay, o.Name)
	// cursor is not in the map, so it gives the zero Start, which keeps the section's.
	o.From = cmp.Or(map[string]outbox.Start{"oldest": outbox.StartOldest, "now": outbox.StartNow}[from], o.From)
	// The flag can only turn it on: there is no --fenced.
	o.Unfenced = o.Unfenced || unfenced
	o.Logger = logger
	relay, err := outbox.NewRelay(bus, pool, o)
	if err != nil {
		return err
	}
	return relay.Run(ctx)
}
