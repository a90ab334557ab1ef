package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// group returns a command that only has subcommands. A word that names none of them is
// misuse, with the nearest command as a suggestion: cobra would print the help and exit
// with 0, and a script would take the typo for success.
func (a *app) group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		// Any words are accepted here, so that RunE can refuse them with a suggestion.
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			text := fmt.Sprintf("%q is not a command of %q", args[0], c.CommandPath())
			// One or two wrong letters are a typo; more are another word.
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

// action returns a function for cobra's RunE that calls do. It notes that the command
// line has been understood: from then on an error is a failure rather than misuse.
func (a *app) action(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		// Set before do, which may fail at once. Misuse errors of commands are recognized by
		// their type.
		a.running = true
		return do(c.Context(), args)
	}
}

// choice is a flag whose value is one of a few words. It implements pflag.Value, so that
// a wrong word is refused while the command line is parsed.
type choice struct {
	// value is where the choice is stored; the caller owns it.
	value *string
	// words are the permitted values; the first is the default.
	words []string
}

// newChoice returns a choice whose default is the first word.
func newChoice(value *string, words ...string) *choice {
	// Set here, since pflag calls Set only for flags that are given.
	*value = words[0]
	return &choice{value, words}
}

// String returns the current value: the default until Set succeeds.
func (c *choice) String() string { return *c.value }

// Type returns the name under which help shows the value.
func (*choice) Type() string { return "string" }

// Set accepts only the permitted words. Its error names them.
func (c *choice) Set(value string) error {
	// Words are matched exactly, so that a script means the same in every version.
	if !slices.Contains(c.words, value) {
		return misuse("write %s", strings.Join(c.words, " or "))
	}
	*c.value = value
	return nil
}

// misuseError is the error of a command line that can't be understood. The program then
// exits with 2 and points to --help.
type misuseError struct{ text string }

// Error implements error.
func (e *misuseError) Error() string { return e.text }

// misuse returns a misuseError. Its text says what to write instead.
func misuse(format string, args ...any) error {
	return &misuseError{fmt.Sprintf(format, args...)}
}

// errReported makes the program exit with 1 without another message: the command has
// already printed what is wrong.
var errReported = errors.New("failed, as was reported")

// completions returns the words that may follow on a shell's command line; begun is the
// part of the word that has been typed.
type completions = func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// complete sets the completions of a flag. It panics if the command has no such flag,
// which is a mistake in this program.
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

// completing bounds how long a shell waits for names from the cluster. A prompt that
// hangs is worse than one without completions.
const completing = 3 * time.Second

// topicNames completes names of topics, for the first argument or a flag.
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

// names completes the names that begin with begun. It offers nothing if the cluster
// can't be asked: a shell has no place for errors.
func (a *app) names(c *cobra.Command, begun string, ask func(context.Context) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	// The shell runs the program for each press of Tab, and waits for it.
	ctx, cancel := context.WithTimeout(c.Context(), completing)
	defer cancel()
	all, err := ask(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for i := range all {
		all[i] = string(visible(all[i])) // a shell prints them unchanged
	}
	// Sorted, since brokers answer in no particular order.
	slices.Sort(all)
	// Filtered here, since not every shell drops other words.
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, begun) }), cobra.ShellCompDirectiveNoFileComp
}

// once completes only the first argument.
func once(by completions) completions {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		// args are the complete words before the one being typed.
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return by(c, args, begun)
	}
}
