package main

import "github.com/spf13/cobra"

func newDLQCommand(a *app) *cobra.Command {
	return a.group("dlq", "Look at dead letters, and bring them back")
}
