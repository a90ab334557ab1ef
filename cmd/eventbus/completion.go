package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completions answers a shell that asks how a word may go on.
type completions = func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// complete gives a flag its completions.
func complete(c *cobra.Command, flag string, by completions) {
	if err := c.RegisterFlagCompletionFunc(flag, by); err != nil {
		panic(err) // the flag does not exist
	}
}

func (*app) fixed(words ...string) completions {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completing is how long a shell is kept waiting for names from the cluster.
const completing = 3 * time.Second

// topicNames completes the names of topics, for a first argument or a flag.
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

// names asks the cluster, and offers nothing where that fails: a shell has no
// place for errors.
func (a *app) names(c *cobra.Command, begun string, ask func(context.Context) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completing)
	defer cancel()
	all, err := ask(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	slices.Sort(all)
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, begun) }), cobra.ShellCompDirectiveNoFileComp
}

// once offers completions for the first argument alone.
func once(by completions) completions {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return by(c, args, begun)
	}
}
