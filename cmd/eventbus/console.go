package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/internal/doctor"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/postgres/outbox"
	"github.com/eventbus-go/eventbus/schema/protosource"
	"github.com/eventbus-go/eventbus/schema/untyped"
	"github.com/eventbus-go/eventbus/secret"
)

// consoleFlags are the flags of the console.
// An empty value leaves the console's default, or the feature out.
type consoleFlags struct {
	listen   string
	members  []string
	memberCA string
	tokens   []string
	hosts    []string
	catalog  string
	title    string
	traces   string
	cert     string
	key      string
	open     bool
	readOnly bool
	showData bool
	outbox   outboxFlags
	registry registryFlags
}

// newConsoleCommand returns the command that serves the console from an operator's
// machine: a cluster needs nothing installed for it.
func newConsoleCommand(a *app) *cobra.Command {
	var f consoleFlags
	c := &cobra.Command{
		Use:   "console",
		Short: "Serve pages that show what holds the bus up, and set it free",
		Long: `Serve pages that show what holds the bus up, and set it free: parked keys, dead
letters by cause and jobs that bring them back, the story of an event, the catalogue.

The pages come from the cluster alone, and show more with the admin handlers of
services: --member URL, once for each process. Their token is that of
` + tokenVariable + `.

Without --token a new one is made and printed as part of the address to open. It is
behind the #, which browsers send to no server.`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.serveConsole(ctx, &f) }),
	}
	flags := c.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "`host:port` to serve on; port 0 takes a free one")
	flags.StringArrayVar(&f.members, "member", nil, "`URL` of a service's admin handler; may be repeated")
	flags.StringVar(&f.memberCA, "member-ca", "", "`file` with the authorities that sign the members' certificates, in place of this machine's")
	flags.StringArrayVar(&f.tokens, "token", nil, "`NAME=FILE` of a user's token, by whose name orders are logged; may be repeated")
	flags.BoolVar(&f.open, "no-token", false, "let everyone on this machine in")
	flags.StringSliceVar(&f.hosts, "host", nil, "`names` by which users reach the console, beside those of this machine")
	flags.StringVar(&f.cert, "tls-cert", "", "`file` with the certificate to serve with")
	flags.StringVar(&f.key, "tls-key", "", "`file` with its key")
	flags.BoolVar(&f.readOnly, "read-only", false, "take no orders")
	flags.BoolVar(&f.showData, "show-data", false, "show the data of events, without personal fields, where a catalogue has the type")
	flags.StringVar(&f.catalog, "catalog", "", "`FILE|URL` of the catalogue to compare with, and to know types by")
	flags.StringVar(&f.title, "title", "", "`title` of the pages")
	flags.StringVar(&f.traces, "trace-url", "", "`address` of a trace, with {trace} in the place of its id")
	flags.StringVar(&f.outbox.database, "database", "", "`address` of a database with an outbox, postgres://…, or @FILE that holds it")
	flags.StringVar(&f.outbox.schema, "schema", "", "`schema` of the outbox (default public)")
	flags.StringVar(&f.outbox.table, "table", "", "`table` of the outbox (default outbox)")
	f.registry.flags(c)
	return c
}

// serveConsole serves the pages until ctx ends.
func (a *app) serveConsole(ctx context.Context, f *consoleFlags) error {
	config, token, err := a.consoleConfig(ctx, f)
	if err != nil {
		return err
	}
	if cmp.Or(f.outbox.database, os.Getenv(databaseVariable)) != "" {
		pool, err := a.pool(ctx, &f.outbox)
		if err != nil {
			return err
		}
		defer pool.Close()
		config.Outbox = f.outbox.status(pool)
	}
	pages, err := console.New(*config)
	if err != nil {
		return err
	}
	// Before the address is printed: with port 0 only the listener knows it.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return errors.Join(err, pages.Close(ctx))
	}
	// Every phase is bounded, so that no client holds a connection for good. Writing takes
	// longest: some pages read the log.
	server := &http.Server{
		Handler: pages, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(config.Logger.Handler(), slog.LevelWarn),
	}
	// Buffered, so that the goroutine ends even if nobody receives any more.
	ended := make(chan error, 1)
	go func() {
		if f.cert != "" {
			ended <- server.ServeTLS(listener, f.cert, f.key)
		} else {
			ended <- server.Serve(listener)
		}
	}()
	// The listener's address and not the flag's: it has the port that was chosen.
	scheme := map[bool]string{true: "https", false: "http"}[f.cert != ""]
	address := fmt.Sprintf("%s://%s/", scheme, listener.Addr())
	if token != "" {
		address += "#" + token
	}
	if err := a.say("Open %s", address); err != nil {
		return err
	}
	select {
	case err = <-ended:
		return errors.Join(err, pages.Close(context.WithoutCancel(ctx)))
	case <-ctx.Done():
	}
	// ctx has ended, and both still have requests to wait for.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err = errors.Join(pages.Close(within), server.Shutdown(within))
	if ending := <-ended; !errors.Is(ending, http.ErrServerClosed) {
		err = errors.Join(err, ending)
	}
	return err
}

// consoleConfig returns what the flags come to, and the token that was made for this run.
func (a *app) consoleConfig(ctx context.Context, f *consoleFlags) (*console.Config, string, error) {
	if (f.cert == "") != (f.key == "") {
		return nil, "", misuse("--tls-cert and --tls-key go together")
	}
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return nil, "", misuse("--listen %q: write host:port", f.listen)
	}
	// An empty host is every interface of the machine, and not loopback.
	here := doctor.Loopback([]string{net.JoinHostPort(host, "0")})
	if !here && (f.open || len(f.tokens) == 0) {
		return nil, "", misuse("--listen %s is open to other machines: give --token NAME=FILE for each user", f.listen)
	}
	config := &console.Config{
		Hosts: f.hosts, ReadOnly: f.readOnly, ShowData: f.showData, Title: f.title, TraceURL: f.traces, Protobuf: protosource.Of,
		Logger: slog.New(slog.NewTextHandler(a.stderr, nil)),
	}
	made := ""
	switch {
	case f.open && len(f.tokens) > 0:
		return nil, "", misuse("--token and --no-token contradict each other")
	// Without tokens and only on this machine, which was checked above.
	case f.open:
	case len(f.tokens) == 0:
		// At least 128 bits of randomness (crypto/rand): it can't be guessed while the
		// console runs, and is gone with it.
		made = rand.Text()
		config.Tokens = []console.Token{{Name: "operator", Value: secret.Text(made)}}
	}
	for _, t := range f.tokens {
		name, file, ok := strings.Cut(t, "=")
		if !ok || name == "" || file == "" {
			return nil, "", misuse("--token %q: write NAME=FILE, since the list of processes would show the token itself", name)
		}
		config.Tokens = append(config.Tokens, console.Token{Name: name, Value: secret.File(file)})
	}
	trusted, err := f.trusted()
	if err != nil {
		return nil, "", err
	}
	// The variable is read when the console starts: a new token needs a restart.
	for _, url := range f.members {
		// All members are asked with one token, as services of one deployment have it.
		config.Members = append(config.Members, console.Member{URL: url, Token: secret.Text(os.Getenv(tokenVariable)), TLS: trusted})
	}
	if f.catalog != "" {
		if config.Catalog, err = a.readCatalog(ctx, f.catalog); err != nil {
			return nil, "", err
		}
	}
	reader, err := f.registry.reader(a)
	if err != nil {
		return nil, "", err
	}
	if reader != nil {
		config.Schemas = bySchema(reader)
	}
	settings, err := a.settings()
	// Members alone are enough for pages about them, so brokers are optional then.
	if err != nil && len(f.members) > 0 {
		a.note("There are the pages of the members alone: %v", err)
		return config, made, nil
	}
	if err != nil {
		return nil, "", err
	}
	config.Environment = settings.Bus.Environment
	config.Checks = func(context.Context) (all []console.Finding) {
		var found doctor.Findings
		doctor.Security(&found, &settings.Kafka)
		for _, one := range found {
			all = append(all, console.Finding(one))
		}
		return all
	}
	config.Cluster, err = a.transport(ctx)
	// With Kafka down members still tell what holds the bus up. The pages of the cluster say
	// what is wrong until it is back.
	if err != nil && len(f.members) > 0 && ctx.Err() == nil {
		a.note("The cluster can't be asked now: %v", err)
		a.cluster = kafka.New(settings.Kafka)
		config.Cluster, err = a.cluster, nil
	}
	return config, made, err
}

// bySchema returns what reads data for the console. Package console imports no registry.
func bySchema(reader *untyped.Reader) console.Schemas {
	return func(ctx context.Context, e *eventbus.Envelope) (*console.SchemaData, error) {
		data, err := reader.Read(ctx, e)
		// An event that names no schema.
		if data == nil {
			return nil, err
		}
		read := &console.SchemaData{JSON: data.JSON, Fields: data.Fields()}
		// Without a schema the registry is what fails, and its words may be shown.
		if data.Schema != nil {
			read.Schema = (&seen{data: data}).schema()
		}
		return read, err
	}
}

// trusted returns what members are asked with over https; nil for what the machine trusts.
func (f *consoleFlags) trusted() (*tls.Config, error) {
	if f.memberCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(f.memberCA)
	if err != nil {
		return nil, misuse("--member-ca: %v", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return nil, misuse("--member-ca: %s holds no certificate in PEM form", f.memberCA)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities}, nil
}

// status returns what the console asks for the state of an outbox.
func (f *outboxFlags) status(pool *pgxpool.Pool) console.Outbox {
	return func(ctx context.Context) (console.OutboxStatus, error) {
		s, err := outbox.ReadStatus(ctx, pool, f.of())
		if err != nil {
			return console.OutboxStatus{}, err
		}
		// Copied field by field: package console imports no database.
		all := console.OutboxStatus{Scheduled: s.Scheduled}
		for _, r := range s.Relays {
			all.Relays = append(all.Relays, console.OutboxRelay{
				Name: r.Name, Holder: r.Holder, Pending: r.Pending, Oldest: r.OldestAge, Parked: r.Parked, Published: r.Published, Still: r.Still,
			})
		}
		// A page shows the oldest; eventbus outbox list has the rest.
		parked, err := outbox.ListParked(ctx, pool, f.of(), 100)
		for _, p := range parked {
			all.Waiting = append(all.Waiting, console.OutboxWaiting{
				ID: p.ID, Relay: p.Relay, Topic: p.Topic, Key: p.Key, Waiting: time.Since(p.Parked), Attempts: p.Attempts, Error: p.Error,
			})
		}
		return all, err
	}
}
