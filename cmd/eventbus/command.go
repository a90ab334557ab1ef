package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// group returns a command that does nothing itself and has others below it. A
// word that is none of them is misuse, with the nearest command as a
// suggestion: cobra would print the help and exit with 0.
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

// action returns what a command runs. From here on an error is a failure, and
// no longer a misuse of the command line.
func (a *app) action(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		a.running = true
		return do(c.Context(), args)
	}
}

// choice is a flag whose value is one of a few words.
type choice struct {
	value *string
	words []string
}

// newChoice returns a choice whose default is the first word.
func newChoice(value *string, words ...string) *choice {
	*value = words[0]
	return &choice{value, words}
}

func (c *choice) String() string { return *c.value }
func (*choice) Type() string     { return "string" }

// Set refuses any other word, and names the ones that there are.
func (c *choice) Set(value string) error {
	if !slices.Contains(c.words, value) {
		return misuse("write %s", strings.Join(c.words, " or "))
	}
	*c.value = value
	return nil
}

// misuseError is the error of a command line that can't be understood. The
// program then exits with 2 and points to --help.
type misuseError struct{ text string }

func (e *misuseError) Error() string { return e.text }

// misuse returns a misuseError. Its text says what to write instead.
func misuse(format string, args ...any) error {
	return &misuseError{fmt.Sprintf(format, args...)}
}

// errReported makes the program exit with 1 without a further message: the
// command has printed what is wrong.
var errReported = errors.New("failed, as was reported")
