package main

import (
	"runtime/debug"

	"github.com/spf13/cobra"
)

// newRootCommand returns the whole tool, with the flags that all commands
// share.
func newRootCommand(a *app) *cobra.Command {
	// The order here is that of the source; help sorts commands by name.
	root := a.group("eventbus", "Look after topics, groups and events on Apache Kafka",
		newTopicsCommand(a), newTailCommand(a), newPublishCommand(a), newGroupsCommand(a),
		newDLQCommand(a), newOutboxCommand(a), newCatalogCommand(a), newSchemasCommand(a), newDoctorCommand(a), newConsoleCommand(a))
	root.Long = root.Short + `.

The cluster is found as services find it: appsettings.json, eventbus.yaml and the
environment (ConnectionStrings__Messaging, EventBus__Tls__…, EventBus__Sasl__…), or
by --brokers and --config.`
	root.Version = version()
	root.SetVersionTemplate("eventbus {{.Version}}\n")
	// run prints errors: cobra would print them, and the usage, for failures
	// that have nothing to do with the command line.
	root.SilenceErrors, root.SilenceUsage = true, true
	// The streams of the app, so that help and completions go where tests look too.
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	// Persistent, so that they may stand before or behind the name of a command.
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

// version returns the version of the module that the program was installed from;
// a build in a checkout has none and says "(devel)".
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
