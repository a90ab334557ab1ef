// Command eventbus looks after topics, groups and events of an event bus on
// Apache Kafka. It does not need any service of the bus to be running.
//
//	eventbus --brokers localhost:9092 doctor
//	eventbus tail prod.sales.public.customers.v1 --from 15m
//
// Connections are configured by the same files and variables that services read (see
// package config), or by --brokers and --config. The exit code is 0 if all went well,
// 1 if something failed, and 2 if the command line can't be understood.
//
// The files, by command:
//
//	main, command           the program, its flags, what all commands share, shell completion
//	app, settings           the cluster, its configuration, the admin handlers of services
//	topics, topics_diff, topics_provision  topics, how they differ from a catalogue, creating missing ones
//	tail, publish, event    events, and how one is shown
//	groups, groups_reset, groups_types  consumer groups, and the types that they handle
//	dlq, dlq_show, dlq_decide, dlq_replay, dlq_skip, dlq_jobs  dead letters, by internal/redrive of the root module
//	replay                  replays by a service's handlers
//	outbox, outbox_relay    an outbox on PostgreSQL, and its relay
//	catalog, schemas        catalogues and documents made from them, a schema registry
//	doctor, doctor_checks   an examination of all of these
//	console                 pages in a browser, by package console of the root module
//	dev                     a broker and a console for a developer's machine
//	table, visible          output, and making it safe for a terminal
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes. They let scripts tell a failed command from a mistyped one.
const (
	exitOK     = 0
	exitFailed = 1
	exitMisuse = 2
)

// main ends the process with the exit code of run. os.Exit skips deferred calls, so stop
// is called explicitly.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without its process, so that tests can call it. It returns the exit
// code, soon after ctx is canceled.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// Each run makes its own app and commands, and keeps nothing in package variables: tests
	// run the program many times in one process.
	a := newApp(stdin, stdout, stderr)
	root := newRootCommand(a)
	// Otherwise cobra would read the arguments of the process.
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	// The output may be complete although closing failed, or the other way round: both errors
	// count.
	err = errors.Join(err, a.close())
	var wrong *misuseError
	switch {
	case err == nil:
		return exitOK
	// Checked first: joined with another error, failures that were already printed would be
	// printed twice.
	case errors.Is(err, errReported):
		return exitFailed
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		// The user pressed Ctrl-C and knows why: one word says more than the chain of canceled
		// calls. A job that is left gets its remedy too.
		text := "interrupted"
		if left, ok := errors.AsType[*leftError](err); ok {
			text += ": " + left.remedy()
		}
		a.printError(text)
		return exitFailed
	// Before a command runs, every error is about the command line: cobra has no type of its
	// own for them.
	case errors.As(err, &wrong) || !a.running:
		a.printError(err.Error())
		_, _ = fmt.Fprintf(stderr, "Run 'eventbus help' or a command with --help to see how it is used.\n")
		return exitMisuse
	}
	a.printError(err.Error())
	return exitFailed
}

// newRootCommand returns the whole tool, with the flags that all commands
// share.
func newRootCommand(a *app) *cobra.Command {
	// In the order of the source; help sorts commands by name.
	root := a.group("eventbus", "Look after topics, groups and events on Apache Kafka",
		newTopicsCommand(a), newTailCommand(a), newPublishCommand(a), newGroupsCommand(a),
		newDLQCommand(a), newOutboxCommand(a), newCatalogCommand(a), newSchemasCommand(a), newDoctorCommand(a), newConsoleCommand(a), newDevCommand(a), newReplayCommand(a))
	root.Long = root.Short + `.

The cluster is found as services find it: appsettings.json, eventbus.yaml and the
environment (ConnectionStrings__Messaging, EventBus__Tls__…, EventBus__Sasl__…), or
by --brokers and --config.`
	root.Version = version()
	root.SetVersionTemplate("eventbus {{.Version}}\n")
	// run prints errors: cobra would also print the usage, for failures that have nothing to do
	// with the command line.
	root.SilenceErrors, root.SilenceUsage = true, true
	// The app's streams, so that tests see help and completions too.
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	// Persistent, so that they may precede or follow the name of a command.
	flags := root.PersistentFlags()
	flags.StringSliceVar(&a.brokers, "brokers", nil, "brokers of the cluster, `host:port`, separated by commas")
	flags.StringVar(&a.config, "config", "", "configuration `file` (.json, .yaml) in place of the default ones")
	flags.StringVarP(&a.environment, "environment", "e", "", "environment, such as Development or Production, whose topics are meant; lists of topics show these alone")
	flags.VarP(newChoice(&a.output, "table", "json"), "output", "o", "`format` of the output: table or json")
	flags.BoolVarP(&a.yes, "yes", "y", false, "don't ask before changing something")
	flags.BoolVar(&a.dryRun, "dry-run", false, "show what would be changed, and change nothing")
	complete(root, "output", a.fixed("table", "json"))
	complete(root, "environment", a.fixed("Development", "Test", "Staging", "Production"))
	return root
}

// version returns the version of the module from which the program was installed, or
// "(devel)" for a build in a checkout.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
