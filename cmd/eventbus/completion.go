package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completions is a function that returns the words that may stand where a shell
// asks; begun is what has been typed of the word.
type completions = func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// complete gives a flag its completions. It panics if the command has no such
// flag: a mistake in this program.
func complete(c *cobra.Command, flag string, by completions) {
	if err := c.RegisterFlagCompletionFunc(flag, by); err != nil {
		panic(err) // the flag does not exist
	}
}

// fixed returns completions from a fixed list of words.
func (*app) fixed(words ...string) completions {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completing bounds the time that a shell waits for names from the cluster. A
// prompt that hangs is worse than one without completions.
const completing = 3 * time.Second

// topicNames completes the names of topics, for the first argument or a flag.
func (a *app) topicNames(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.names(c, begun, func(ctx context.Context) ([]string, error) {
		t, err := a.transport(ctx)
		if err != nil {
			return nil, err
		}
		infos, err := t.Admin().Topics(ctx)
		names := make([]string, 0, len(infos))
		for i := range infos {
			names = append(names, infos[i].Name)
		}
		return names, err
	})
}

// names completes with those names that begin with begun. It offers nothing if
// the cluster can't be asked: a shell has no place for errors.
func (a *app) names(c *cobra.Command, begun string, ask func(context.Context) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completing)
	defer cancel()
	all, err := ask(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for i := range all {
		all[i] = string(visible(all[i])) // a shell prints them as they are
	}
	slices.Sort(all)
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, begun) }), cobra.ShellCompDirectiveNoFileComp
}

// once returns completions for the first argument alone: commands that take one
// would otherwise offer the same names again behind it.
func once(by completions) completions {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return by(c, args, begun)
	}
}
