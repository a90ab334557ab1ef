package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// newRootCommand is the whole tool.
func newRootCommand(a *app) *cobra.Command {
	root := a.group("eventbus", "Look after topics, groups and events on Apache Kafka",
		newTopicsCommand(a), newTailCommand(a), newPublishCommand(a), newGroupsCommand(a),
		newDLQCommand(a), newDoctorCommand(a))
	root.Long = root.Short + `.

The cluster is found as services find it: appsettings.json, eventbus.yaml and the
environment (ConnectionStrings__Messaging, EventBus__Tls__…, EventBus__Sasl__…), or
by --brokers and --config.`
	root.Version = version()
	root.SetVersionTemplate("eventbus {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	flags := root.PersistentFlags()
	flags.StringSliceVar(&a.brokers, "brokers", nil, "brokers of the cluster, `host:port`, separated by commas")
	flags.StringVar(&a.config, "config", "", "configuration `file` (.json, .yaml) in place of the default ones")
	flags.StringVarP(&a.environment, "environment", "e", "", "environment, such as Development or Production, whose topics are meant")
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

// group is a command that only has others below it.
func (a *app) group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			text := fmt.Sprintf("%q is not a command of %q", args[0], c.CommandPath())
			c.SuggestionsMinimumDistance = 2
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				return misuse("%s: did you mean %s?", text, strings.Join(near, " or "))
			}
			return misuse("%s", text)
		},
	}
	c.AddCommand(commands...)
	return c
}

// action is what a command does. Errors from before it are misuse.
func (a *app) action(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		a.running = true
		return do(c.Context(), args)
	}
}

// choice is a flag that takes one of few values.
type choice struct {
	value *string
	those []string
}

// newChoice takes the first as the default.
func newChoice(value *string, those ...string) *choice {
	*value = those[0]
	return &choice{value, those}
}

func (c *choice) String() string { return *c.value }
func (*choice) Type() string     { return "string" }

func (c *choice) Set(value string) error {
	if !slices.Contains(c.those, value) {
		return misuse("write %s", strings.Join(c.those, " or "))
	}
	*c.value = value
	return nil
}
