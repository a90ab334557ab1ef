package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/schema/registry"
)

// newSchemasCommand makes the commands of a schema registry, which is found by
// --registry and the variables EVENTBUS_REGISTRY_….
func newSchemasCommand(a *app) *cobra.Command {
	var urls []string
	open := func() (*registry.Registry, error) {
		c, err := registry.ConfigFromEnvironment()
		if err != nil {
			return nil, err
		}
		if len(urls) > 0 {
			c.URLs = urls
		}
		r, err := registry.New(c)
		if err != nil {
			return nil, misuse("%v", err)
		}
		return r, nil
	}
	c := a.group("schemas", "Look at the schemas of a registry, and keep copies of them",
		&cobra.Command{
			Use: "list", Short: "List the subjects with their newest schemas", Args: cobra.NoArgs,
			RunE: a.action(func(ctx context.Context, _ []string) error { return a.listSchemas(ctx, open) }),
		},
		&cobra.Command{
			Use: "pull DIR", Short: "Copy all schemas into a directory, for tests and starts without a registry", Args: cobra.ExactArgs(1),
			RunE: a.action(func(ctx context.Context, args []string) error { return a.pullSchemas(ctx, open, args[0]) }),
		},
		newSchemasCheckCommand(a, open))
	c.PersistentFlags().StringSliceVar(&urls, "registry", nil, "`URL` of the registry; EVENTBUS_REGISTRY_URLS and its kin otherwise")
	return c
}

type opener = func() (*registry.Registry, error)

// schemaLine is the line of a subject in a list.
type schemaLine struct {
	Subject string        `json:"subject"`
	Version int           `json:"version"`
	ID      int           `json:"id"`
	Type    registry.Type `json:"type"`
}

func (a *app) listSchemas(ctx context.Context, open opener) error {
	r, err := open()
	if err != nil {
		return err
	}
	subjects, err := r.Subjects(ctx)
	if err != nil {
		return err
	}
	lines := []schemaLine{}
	var rows []table.Row
	for _, subject := range subjects {
		s, err := r.Latest(ctx, subject)
		if err != nil {
			return err
		}
		lines = append(lines, schemaLine{subject, s.Version, s.ID, s.Type})
		rows = append(rows, table.Row{subject, s.Version, s.ID, s.Type})
	}
	return a.show(lines, table.Row{"subject", "version", "id", "type"}, rows)
}

func (a *app) pullSchemas(ctx context.Context, open opener, dir string) error {
	r, err := open()
	if err != nil {
		return err
	}
	subjects, err := r.Subjects(ctx)
	if err != nil {
		return err
	}
	count := 0
	for _, subject := range subjects {
		versions, err := r.Versions(ctx, subject)
		if err != nil {
			return err
		}
		for _, version := range versions {
			s, err := r.Version(ctx, subject, version)
			if err != nil {
				return err
			}
			name, content, err := registry.WriteFile(s)
			if err == nil {
				err = a.writeFile(dir, name, content)
			}
			if err != nil {
				return err
			}
			count++
		}
	}
	a.note("%s written to %s.", counted(count, "schema"), dir)
	return nil
}

func newSchemasCheckCommand(a *app, open opener) *cobra.Command {
	var kind string
	c := &cobra.Command{
		Use: "check SUBJECT FILE", Short: "Ask the registry whether a schema is compatible with its subject; fails if not", Args: cobra.ExactArgs(2),
		RunE: a.action(func(ctx context.Context, args []string) error {
			r, err := open()
			if err != nil {
				return err
			}
			text, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			err = r.Check(ctx, args[0], registry.Definition{Type: registry.Type(kind), Text: string(text)})
			if err != nil {
				return fmt.Errorf("%s: %w", args[1], err)
			}
			return a.say("%s is compatible with %s", args[1], args[0])
		}),
	}
	c.Flags().Var(newChoice(&kind, string(registry.Avro), string(registry.Protobuf), string(registry.JSON)), "type", "`type` of the schema: AVRO, PROTOBUF or JSON")
	return c
}
