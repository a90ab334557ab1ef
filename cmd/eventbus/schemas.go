package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/schema/untyped"
)

// registrySection is the section of the configuration in which services configure the
// registry.
const registrySection = "SchemaRegistry"

// registryFlags find a schema registry: by --registry, the variables EVENTBUS_REGISTRY_…,
// or the section SchemaRegistry of the configuration. The zero value has no --registry.
type registryFlags struct{ urls []string }

// flags adds --registry to c and the commands below it.
func (f *registryFlags) flags(c *cobra.Command) {
	c.PersistentFlags().StringSliceVar(&f.urls, "registry", nil, "`URL` of the schema registry; default EVENTBUS_REGISTRY_URLS, or the section SchemaRegistry of the configuration")
}

// open returns the registry, or nil if none is configured.
func (f *registryFlags) open(a *app) (*registry.Registry, error) {
	var options []config.Option
	if a.config != "" {
		options = append(options, config.Files(a.config))
	}
	var s registry.Settings
	// From the weakest to the strongest: the section, variables, the flag.
	if err := config.LoadSection(registrySection, &s, options...); err != nil {
		return nil, err
	}
	if err := s.Environment(); err != nil {
		return nil, err
	}
	if len(f.urls) > 0 {
		s.URLs = f.urls
	}
	// Not an error here, since only some commands need a registry.
	if s.IsZero() {
		return nil, nil
	}
	c, err := s.Config()
	if err != nil {
		return nil, err
	}
	r, err := registry.New(c)
	if err != nil {
		return nil, misuse("%v", err)
	}
	return r, nil
}

// reader returns a reader that decodes data by its schema, or nil without a registry.
func (f *registryFlags) reader(a *app) (*untyped.Reader, error) {
	r, err := f.open(a)
	// A Reader of a nil *Registry would call it.
	if r == nil || err != nil {
		return nil, err
	}
	return untyped.New(r), nil
}

// newSchemasCommand returns the group of commands for a schema registry.
func newSchemasCommand(a *app) *cobra.Command {
	var f registryFlags
	// The configuration is read when a command runs, so help works without a registry.
	open := func() (*registry.Registry, error) {
		r, err := f.open(a)
		if r == nil && err == nil {
			err = misuse("no schema registry is configured: give --registry http://host:8081, or set EVENTBUS_REGISTRY_URLS")
		}
		return r, err
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
	f.flags(c)
	return c
}

// opener opens the registry of a command. It need not be closed.
type opener = func() (*registry.Registry, error)

// schemaLine is the line of a subject in a list.
type schemaLine struct {
	// Subject is the name under which the registry keeps the versions of a schema.
	Subject string `json:"subject"`
	// Version counts from 1 within the subject. ID is unique within the registry; records
	// carry it.
	Version int           `json:"version"`
	ID      int           `json:"id"`
	Type    registry.Type `json:"type"`
}

// listSchemas prints the newest schema of each subject, by one request for each: the
// registry has none for all.
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
		// A subject that is deleted between the two requests fails the list, and the next call
		// works again.
		s, err := r.Latest(ctx, subject)
		if err != nil {
			return err
		}
		lines = append(lines, schemaLine{subject, s.Version, s.ID, s.Type})
		rows = append(rows, table.Row{subject, s.Version, s.ID, s.Type})
	}
	return a.show(lines, table.Row{"subject", "version", "id", "type"}, rows)
}

// pullSchemas copies all versions rather than the newest ones, since records refer to old
// ones for as long as retention keeps them.
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
			// The form in which a registry client reads files in place of a server.
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

// newSchemasCheckCommand returns the command for pipelines, run before a schema is
// registered: the registry applies the subject's compatibility level.
func newSchemasCheckCommand(a *app, open opener) *cobra.Command {
	var kind string
	c := &cobra.Command{
		Use: "check SUBJECT FILE", Short: "Ask the registry whether a schema is compatible with its subject; fails if not", Args: cobra.ExactArgs(2),
		RunE: a.action(func(ctx context.Context, args []string) error {
			r, err := open()
			if err != nil {
				return err
			}
			// Sent unchanged: the registry parses it.
			text, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			err = r.Check(ctx, args[0], registry.Definition{Type: registry.Type(kind), Text: string(text)})
			if err != nil {
				return fmt.Errorf("%s: %w", args[1], err)
			}
			// A subject whose name is misspelt is one without schemas too.
			note := ""
			if _, err := r.Latest(ctx, args[0]); errors.Is(err, registry.ErrUnknown) {
				note = ", which has no schema yet"
			}
			return a.say("%s is compatible with %s%s", args[1], args[0], note)
		}),
	}
	c.Flags().Var(newChoice(&kind, string(registry.Avro), string(registry.Protobuf), string(registry.JSON)), "type", "`type` of the schema: AVRO, PROTOBUF or JSON")
	return c
}
