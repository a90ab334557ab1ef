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

// consoleFlags are the flags of the console. An empty value means the console's default,
// or leaves the feature out.
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

// newConsoleCommand returns the command that serves the console from an operator's machine,
// so that nothing has to be installed in the cluster.
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
	// Listens before the address is printed: with port 0 only the listener knows the port.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return errors.Join(err, pages.Close(ctx))
	}
	// Every phase is bounded, so that no client holds a connection indefinitely. Writing has
	// the longest limit, since some pages read the log.
	server := &http.Server{
		Handler: pages, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(config.Logger.Handler(), slog.LevelWarn),
	}
	// Buffered, so that the goroutine ends even if nobody receives.
	ended := make(chan error, 1)
	go func() {
		if f.cert != "" {
			ended <- server.ServeTLS(listener, f.cert, f.key)
		} else {
			ended <- server.Serve(listener)
		}
	}()
	// The listener's address rather than the flag's, since it has the chosen port.
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
	// ctx has ended, and closing may have to wait for requests.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err = errors.Join(pages.Close(within), server.Shutdown(within))
	if ending := <-ended; !errors.Is(ending, http.ErrServerClosed) {
		err = errors.Join(err, ending)
	}
	return err
}

// consoleConfig returns the configuration from the flags, and the token made for this run.
func (a *app) consoleConfig(ctx context.Context, f *consoleFlags) (*console.Config, string, error) {
	if (f.cert == "") != (f.key == "") {
		return nil, "", misuse("--tls-cert and --tls-key go together")
	}
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return nil, "", misuse("--listen %q: write host:port", f.listen)
	}
	// An empty host means every interface of the machine, which is not loopback.
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
	// Without tokens, and only on this machine, as checked above.
	case f.open:
	case len(f.tokens) == 0:
		// With at least 128 bits of randomness (crypto/rand) it can't be guessed while the console
		// runs, and is gone afterwards.
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
	// The variable is read when the console starts, so a new token needs a restart.
	for _, url := range f.members {
		// All members are asked with one token, as the services of a deployment share one.
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
	// Members are enough for the pages about them, so brokers are optional then.
	if err != nil && len(f.members) > 0 {
		a.note("Only the pages about members are served: %v", err)
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
	// With Kafka down, members still report what holds up the bus. The pages of the cluster
	// show the error until it is back.
	if err != nil && len(f.members) > 0 && ctx.Err() == nil {
		a.note("The cluster can't be asked now: %v", err)
		a.cluster = kafka.New(settings.Kafka)
		config.Cluster, err = a.cluster, nil
	}
	return config, made, err
}

// bySchema returns a function that decodes data for the console, which imports no registry.
func bySchema(reader *untyped.Reader) console.Schemas {
	return func(ctx context.Context, e *eventbus.Envelope) (*console.SchemaData, error) {
		data, err := reader.Read(ctx, e)
		// The event names no schema.
		if data == nil {
			return nil, err
		}
		read := &console.SchemaData{JSON: data.JSON, Fields: data.Fields()}
		// Without a schema it was the registry that failed, and its error may be shown.
		if data.Schema != nil {
			read.Schema = (&seen{data: data}).schema()
		}
		return read, err
	}
}

// trusted returns the TLS configuration for requests to members; nil means the machine's
// authorities.
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

// status returns a function that reads the state of an outbox for the console.
func (f *outboxFlags) status(pool *pgxpool.Pool) console.Outbox {
	return func(ctx context.Context) (console.OutboxStatus, error) {
		s, err := outbox.ReadStatus(ctx, pool, f.of())
		if err != nil {
			return console.OutboxStatus{}, err
		}
		// Copied field by field, since package console imports no database.
		all := console.OutboxStatus{Scheduled: s.Scheduled}
		for _, r := range s.Relays {
			all.Relays = append(all.Relays, console.OutboxRelay{
				Name: r.Name, Holder: r.Holder, Pending: r.Pending, Oldest: r.OldestAge, Parked: r.Parked, Published: r.Published, Still: r.Still,
			})
		}
		// A page shows the oldest ones; eventbus outbox list shows the rest.
		parked, err := outbox.ListParked(ctx, pool, f.of(), 100)
		for _, p := range parked {
			all.Waiting = append(all.Waiting, console.OutboxWaiting{
				ID: p.ID, Relay: p.Relay, Topic: p.Topic, Key: p.Key, Waiting: time.Since(p.Parked), Attempts: p.Attempts, Error: p.Error,
			})
		}
		return all, err
	}
}
