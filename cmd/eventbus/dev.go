package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/kafkatest/embedded"
)

// devFlags are the flags of the development broker.
type devFlags struct {
	// port and console are ports on the loopback address; 0 picks a free one.
	port, console uint16
	// bare serves no console.
	bare bool
	// directory keeps the log; if it is empty, the log is kept in memory.
	directory string
	// catalog is a FILE or URL whose topics are created; empty for none.
	catalog string
}

// newDevCommand returns the command that runs a broker for development. It is the broker
// of the tests, and not meant for anything that has to last.
func newDevCommand(a *app) *cobra.Command {
	var f devFlags
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a broker and the console on this machine, for development",
		Long: `Run a Kafka broker inside this program, on a fixed port of this machine alone, with
the console on a second one, until Ctrl-C. It prints the variables by which services
and this tool find it.

Services create their topics, as they do in the environment Development; --catalog
creates those of a catalogue first, and clients that ask for topics to be created get
them. The log is gone at the end, unless --directory keeps it. Files and variables
that configure another cluster are not read.`,
		Example: `  eventbus dev
  eventbus dev --port 19092 --console 19080 --directory ./dev-log
  eventbus dev --catalog catalog.json`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.dev(ctx, &f) }),
	}
	flags := c.Flags()
	// The port that clients try by default.
	flags.Uint16Var(&f.port, "port", 9092, "`port` of the broker; 0 takes a free one")
	flags.Uint16Var(&f.console, "console", 9080, "`port` of the console; 0 takes a free one")
	flags.BoolVar(&f.bare, "no-console", false, "serve no console")
	flags.StringVar(&f.directory, "directory", "", "`directory` that keeps the log, in place of memory")
	flags.StringVar(&f.catalog, "catalog", "", "`FILE|URL` of a catalogue whose topics are created, and by which the console shows data")
	return c
}

// dev runs the broker and the console until ctx ends.
func (a *app) dev(ctx context.Context, f *devFlags) (err error) {
	if len(a.brokers) > 0 || a.config != "" {
		return misuse("dev starts a broker of its own: leave --brokers and --config out")
	}
	broker, err := embedded.Start(embedded.Config{Port: int(f.port), Directory: f.directory, CreateTopics: true})
	if err != nil {
		return taken(err, "--port", f.port)
	}
	// The connection is closed before the broker: otherwise it would retry until its timeout.
	defer func() {
		err = errors.Join(err, a.close())
		a.cluster = nil
		broker.Close()
	}()
	a.embedded, a.brokers = true, broker.Brokers()
	if a.environment == "" {
		a.environment = "Development"
	}
	if f.catalog != "" {
		// A new cluster has nothing that a question would protect.
		a.yes = true
		if err := a.provisionTopics(ctx, f.catalog, nil); err != nil {
			return err
		}
	}
	kept := "in memory"
	if f.directory != "" {
		kept = "in " + f.directory
	}
	if err := a.say("A Kafka broker listens on %s and keeps its log %s. Services find it by\n", a.brokers[0], kept); err != nil {
		return err
	}
	for _, line := range [][2]string{{connectionVariable, a.brokers[0]}, {environmentVariable, a.environment}} {
		if err := a.say("  export %s=%s", line[0], line[1]); err != nil {
			return err
		}
	}
	if err := a.say("\nCtrl-C ends it."); err != nil {
		return err
	}
	if f.bare {
		<-ctx.Done()
		return nil
	}
	// Without a token, since the broker requires none either: both are reachable only from this
	// machine, and pages of other origins are refused.
	pages := consoleFlags{
		listen: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(f.console))), open: true, showData: true, catalog: f.catalog, title: "Development",
	}
	return taken(a.serveConsole(ctx, &pages), "--console", f.console)
}

// taken adds a remedy to the error of a port that another process uses.
func taken(err error, flag string, port uint16) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d is taken, perhaps by another eventbus dev or a Kafka: end that, or give %s PORT: %w", port, flag, err)
	}
	return err
}
