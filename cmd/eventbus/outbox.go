package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/postgres/outbox"
)

// databaseVariable names the database unless --database does. It is the connection string
// that services read.
const databaseVariable = "ConnectionStrings__Outbox"

// outboxFlags are the flags of all outbox commands.
type outboxFlags struct {
	database    string
	schema      string
	table       string
	relay       string
	partitioned bool
}

// of returns the table that the flags name. Empty names mean the defaults of outbox.
func (f *outboxFlags) of() outbox.Table {
	return outbox.Table{Schema: f.schema, Name: f.table, Partitioned: f.partitioned}
}

// name returns the name of the relay that a command is about.
func (f *outboxFlags) name() string { return cmp.Or(f.relay, "default") }

// newOutboxCommand returns the group of commands for an outbox on PostgreSQL. All but
// relay use only the database, and need no Kafka cluster.
func newOutboxCommand(a *app) *cobra.Command {
	var f outboxFlags
	// one makes a command about one parked event, all a command about the whole outbox. Both
	// open the pool when the command runs, since help must not connect.
	one := func(use, short string, do func(ctx context.Context, pool *pgxpool.Pool, id int64) error) *cobra.Command {
		c := &cobra.Command{
			Use: use + " ID", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
			RunE: a.action(func(ctx context.Context, args []string) error {
				id, err := strconv.ParseInt(args[0], 10, 64)
				if err != nil {
					return misuse("%q is not the ID of a parked event: eventbus outbox list shows them", args[0])
				}
				return a.withPool(ctx, &f, func(pool *pgxpool.Pool) error { return do(ctx, pool, id) })
			}),
		}
		return c
	}
	all := func(use, short string, do func(ctx context.Context, pool *pgxpool.Pool) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
			RunE: a.action(func(ctx context.Context, _ []string) error {
				return a.withPool(ctx, &f, func(pool *pgxpool.Pool) error { return do(ctx, pool) })
			}),
		}
	}
	// A dry run prints the statements, for users who run migrations with another tool.
	migrate := all("migrate", "Create or update the tables", func(ctx context.Context, pool *pgxpool.Pool) error {
		if a.dryRun {
			sql, err := outbox.Schema(f.of())
			if err != nil {
				return err
			}
			return a.say("%s", shown(sql))
		}
		return outbox.Migrate(ctx, pool, f.of())
	})
	migrate.Flags().BoolVar(&f.partitioned, "partitioned", false, "in partitions of a day each, which are dropped whole")
	c := a.group("outbox", "Look after an outbox on PostgreSQL, and run its relay",
		all("status", "Show the relays, what is pending, and what holds the database up", func(ctx context.Context, pool *pgxpool.Pool) error { return a.outboxStatus(ctx, pool, &f) }),
		all("list", "List the events that wait because Kafka refused one of their key", func(ctx context.Context, pool *pgxpool.Pool) error { return a.outboxList(ctx, pool, &f) }),
		one("show", "Show a waiting event", func(ctx context.Context, pool *pgxpool.Pool, id int64) error { return a.outboxShow(ctx, pool, &f, id) }),
		one("retry", "Try the key of a waiting event again now", func(ctx context.Context, pool *pgxpool.Pool, id int64) error {
			if a.dryRun {
				return a.outboxShow(ctx, pool, &f, id)
			}
			return outbox.RetryParked(ctx, pool, f.of(), f.name(), id)
		}),
		one("skip", "Drop a waiting event for good; its key goes on with the next", func(ctx context.Context, pool *pgxpool.Pool, id int64) error { return a.outboxSkip(ctx, pool, &f, id) }),
		migrate,
		newOutboxRelayCommand(a, &f))
	c.Long = c.Short + `.

The database is that of --database or ` + databaseVariable + `. A password on the command
line is seen by every user of the machine: put the address into a file and give
--database @FILE, or into that variable.`
	flags := c.PersistentFlags()
	flags.StringVar(&f.database, "database", "", "`address` of the database, postgres://…, or @FILE that holds it")
	flags.StringVar(&f.schema, "schema", "", "`schema` of the outbox (default public)")
	flags.StringVar(&f.table, "table", "", "`table` of the outbox (default outbox)")
	flags.StringVar(&f.relay, "relay", "", "`name` of the relay (default default)")
	return c
}

// address returns the address of the database. Errors don't quote it, since it may hold a
// password.
func (f *outboxFlags) address() (string, error) {
	// The flag takes precedence, as for the cluster.
	address := cmp.Or(f.database, os.Getenv(databaseVariable))
	// Only the flag may name a file. The variable holds the address, as for services.
	if file, ok := strings.CutPrefix(f.database, "@"); ok {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", misuse("--database: %v", err)
		}
		address = strings.TrimSpace(string(text))
	}
	if address == "" {
		return "", misuse("no database: give --database postgres://… or @FILE, or set %s", databaseVariable)
	}
	return address, nil
}

// withPool runs do with a connection pool for the outbox's database.
func (a *app) withPool(ctx context.Context, f *outboxFlags, do func(*pgxpool.Pool) error) error {
	pool, err := a.pool(ctx, f)
	if err != nil {
		return err
	}
	defer pool.Close()
	return do(pool)
}

// pool opens a connection pool. The caller closes it.
func (a *app) pool(ctx context.Context, f *outboxFlags) (*pgxpool.Pool, error) {
	address, err := f.address()
	if err != nil {
		return nil, err
	}
	// The parser's error is not passed on, since it may quote parts of the address.
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, misuse("the address of the database can't be read: it has the form postgres://USER:PASSWORD@HOST/DATABASE, with %%XX for what is special in a URL, or USER=… HOST=… DBNAME=…")
	}
	if strings.HasPrefix(f.database, "postgres") && config.ConnConfig.Password != "" && strings.Contains(f.database, config.ConnConfig.Password) {
		a.note("a password on the command line is seen by every user of this machine: use --database @FILE, or %s", databaseVariable)
	}
	// This does not connect: a wrong address shows at the first statement.
	return pgxpool.NewWithConfig(ctx, config)
}

// outboxStatus prints a line for each relay, and notes what the lines don't show.
func (a *app) outboxStatus(ctx context.Context, pool *pgxpool.Pool, f *outboxFlags) error {
	s, err := outbox.ReadStatus(ctx, pool, f.of())
	if err != nil {
		return err
	}
	rows := make([]table.Row, len(s.Relays))
	for i, r := range s.Relays {
		rows[i] = table.Row{r.Name, cmp.Or(r.Holder, "nobody"), r.Pending, r.OldestAge.Round(time.Millisecond), r.Parked, r.Published, r.Still.Round(time.Second)}
	}
	if err := a.show(s, table.Row{"RELAY", "LEADER", "PENDING", "OLDEST", "WAITING", "PUBLISHED", "STILL FOR"}, rows); err != nil || a.json() {
		return err
	}
	if s.Scheduled > 0 {
		a.note("%s scheduled", counted(s.Scheduled, "event"))
	}
	// A transaction that publishes takes far less than a minute, and vacuum is held up as long
	// as the oldest one is open.
	if s.Oldest.Age > time.Minute {
		a.note("process %d of the database has had a transaction open for %v: nothing newer is vacuumed", s.Oldest.PID, s.Oldest.Age.Round(time.Second))
	}
	return nil
}

// listed bounds how many waiting events are listed.
const listed = 1000

// outboxList prints the waiting events, at most listed of them, and notes if there are
// more.
func (a *app) outboxList(ctx context.Context, pool *pgxpool.Pool, f *outboxFlags) error {
	// The oldest come first, so an incomplete list has those that have held up their keys
	// longest.
	events, err := outbox.ListParked(ctx, pool, f.of(), listed+1)
	if err != nil {
		return err
	}
	return a.showParked(events)
}

// showParked prints the first listed of some waiting events. The note about the others goes
// to stderr, so that stdout is pure JSON.
func (a *app) showParked(events []outbox.ParkedEvent) error {
	if len(events) > listed {
		events = events[:listed]
		a.note("more than %d events wait: these are the oldest", listed)
	}
	rows := make([]table.Row, len(events))
	for i, p := range events {
		rows[i] = table.Row{p.ID, p.Relay, p.Topic, quoted(p.Key), time.Since(p.Parked).Round(time.Second), p.Attempts, cmp.Or(p.Error, "waits for the one before")}
	}
	return a.show(events, table.Row{"ID", "RELAY", "TOPIC", "KEY", "WAITING", "ATTEMPTS", "ERROR"}, rows)
}

// outboxShow prints one waiting event with its data. It changes nothing.
func (a *app) outboxShow(ctx context.Context, pool *pgxpool.Pool, f *outboxFlags, id int64) error {
	p, err := outbox.FindParked(ctx, pool, f.of(), f.name(), id)
	if errors.Is(err, outbox.ErrNotParked) {
		return fmt.Errorf("%w: eventbus outbox list shows the waiting events", err)
	}
	if err != nil {
		return err
	}
	// Lists don't have the payload, so it is added here.
	full := struct {
		outbox.ParkedEvent
		Type string `json:"type,omitempty"`
		Data []byte `json:"data,omitempty"`
	}{ParkedEvent: p}
	// Event is nil if the row can't be decoded: then only its columns are shown.
	if p.Event != nil {
		full.Type, full.Data = p.Event.Type, p.Event.Data
	}
	if a.json() {
		return a.printJSON(full)
	}
	return a.say("event %s of type %s\ntopic   %s\nkey     %s\ncreated %s\nwaiting %v, %s\nerror   %s\ndata    %s", p.EventID, full.Type, p.Topic, quoted(p.Key),
		p.Created.Format(time.RFC3339), time.Since(p.Parked).Round(time.Second), counted(p.Attempts, "attempt"), p.Error, quoted(full.Data))
}

// outboxSkip shows the event before it asks: what is dropped can't be brought back.
func (a *app) outboxSkip(ctx context.Context, pool *pgxpool.Pool, f *outboxFlags, id int64) error {
	if err := a.outboxShow(ctx, pool, f, id); err != nil || a.dryRun {
		return err
	}
	// A relay may publish the event while the question is open: then SkipParked reports that
	// nothing waits under the id.
	if err := a.confirm(ctx, "Drop this event, so that it is never published"); err != nil {
		return err
	}
	return outbox.SkipParked(ctx, pool, f.of(), f.name(), id)
}
