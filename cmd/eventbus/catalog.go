package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/schema/protosource"
)

// newCatalogCommand returns the group of commands for catalogues. They read only
// documents, never the cluster, so they work without a configuration.
func newCatalogCommand(a *app) *cobra.Command {
	return a.group("catalog", "Compare catalogues of topics, and make documents of them",
		newCatalogShowCommand(a), newCatalogDiffCommand(a), newCatalogMergeCommand(a), newCatalogAsyncAPICommand(a), newCatalogBackstageCommand(a),
		newCatalogFilesCommand(a, "schema", "Write the schema of each type into a directory", (*catalog.Document).Schemas),
		newCatalogFilesCommand(a, "markdown", "Write pages for people into a directory", (*catalog.Document).Markdown))
}

// sourceArgs is the argument of the commands that read one catalogue.
const sourceArgs = "FILE|URL"

// newCatalogShowCommand returns the command that lists types, one row for each type of
// each topic.
func newCatalogShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show " + sourceArgs, Short: "List the types of event of a catalogue", Args: cobra.ExactArgs(1),
		RunE: a.action(func(ctx context.Context, args []string) error {
			d, err := a.readCatalog(ctx, args[0])
			if err != nil {
				return err
			}
			var rows []table.Row
			for i := range d.Topics {
				t := &d.Topics[i]
				for _, e := range t.Events {
					rows = append(rows, table.Row{t.Name, e.Type, e.Key.Source, e.ContentType, t.Owner, len(t.Groups)})
				}
			}
			return a.show(d, table.Row{"topic", "type", "key", "data", "owner", "groups"}, rows)
		}),
	}
}

// newCatalogMergeCommand returns the command that merges several catalogues into one.
// It fails if two services declare a topic differently.
func newCatalogMergeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "merge " + sourceArgs + "...", Short: "Print the catalogues of several services as one", Args: cobra.MinimumNArgs(1),
		RunE: a.action(func(ctx context.Context, args []string) error {
			documents := make([]*catalog.Document, len(args))
			for i := range args {
				var err error
				if documents[i], err = a.readCatalog(ctx, args[i]); err != nil {
					return err
				}
			}
			merged, err := catalog.Merge(documents...)
			if err != nil {
				return err
			}
			// The whole document is made before any of it is printed: a failure must not leave half
			// a catalogue in the file that stdout is redirected to.
			var b bytes.Buffer
			if _, err := merged.WriteTo(&b); err != nil {
				return err
			}
			return a.printDocument(b.Bytes())
		}),
	}
}

// newCatalogAsyncAPICommand returns the command for an AsyncAPI document.
func newCatalogAsyncAPICommand(a *app) *cobra.Command {
	var o catalog.AsyncAPIConfig
	return newCatalogDocumentCommand(a, &o, "asyncapi", "Print a catalogue as an AsyncAPI document",
		func(d *catalog.Document) ([]byte, error) { return d.AsyncAPI(o) })
}

// newCatalogBackstageCommand returns the command for a Backstage entity, which contains an
// AsyncAPI document.
func newCatalogBackstageCommand(a *app) *cobra.Command {
	var o catalog.BackstageConfig
	c := newCatalogDocumentCommand(a, &o.AsyncAPI, "backstage", "Print a catalogue as an entity file of Backstage, with the AsyncAPI document in it",
		func(d *catalog.Document) ([]byte, error) { return d.Backstage(o) })
	c.Flags().StringVar(&o.Name, "name", "", "`name` of the entity; by default the service or the topics' common domain with -events, or events")
	c.Flags().StringVar(&o.Owner, "owner", "", "`owner` of the entity, as in sales or group:default/sales; by default the first one of a topic, or unknown")
	return c
}

// newCatalogDocumentCommand returns a command that prints the document that write makes of
// a catalogue. Its flags set o.
func newCatalogDocumentCommand(a *app, o *catalog.AsyncAPIConfig, name, short string, write func(*catalog.Document) ([]byte, error)) *cobra.Command {
	o.Protobuf = protosource.Of
	c := &cobra.Command{
		Use: name + " " + sourceArgs, Short: short, Args: cobra.ExactArgs(1),
		RunE: a.action(func(ctx context.Context, args []string) error {
			d, err := a.readCatalog(ctx, args[0])
			if err != nil {
				return err
			}
			// Without --environment the names keep the environment of the service
			// that wrote the catalogue.
			o.Environment = a.environment
			text, err := write(d)
			if err != nil {
				return err
			}
			return a.printDocument(text)
		}),
	}
	c.Flags().StringVar(&o.Version, "asyncapi-version", "3.1.0", "`version` of AsyncAPI: 3.1.0 or 3.0.0")
	c.Flags().StringVar(&o.Title, "title", "", "`title` of the document; the service by default")
	c.Flags().StringVar(&o.Release, "release", "", "`version` of the document; 1.0.0 by default")
	c.Flags().StringToStringVar(&o.Servers, "server", nil, "bootstrap address by a name, `name=host:port`")
	return c
}

// newCatalogFilesCommand returns a command that writes the files that the function
// files returns. It overwrites existing files of the same names and keeps all others.
func newCatalogFilesCommand(a *app, name, short string, files func(*catalog.Document) []catalog.File) *cobra.Command {
	return &cobra.Command{
		Use: name + " " + sourceArgs + " DIR", Short: short, Args: cobra.ExactArgs(2),
		RunE: a.action(func(ctx context.Context, args []string) error {
			d, err := a.readCatalog(ctx, args[0])
			if err != nil {
				return err
			}
			all := files(d)
			for _, f := range all {
				// Files before a failure stay: running the command again overwrites them.
				if err := a.writeFile(args[1], f.Name, f.Content); err != nil {
					return err
				}
			}
			a.note("%s written to %s.", counted(len(all), "file"), args[1])
			return nil
		}),
	}
}

// writeFile writes a file below dir, and makes its parent directories. A dry run writes
// nothing. Names come from a catalogue, which anybody may have written: one that would
// lead out of dir is an error.
func (a *app) writeFile(dir, name string, content []byte) error {
	// IsLocal refuses "..", absolute paths and the reserved names of Windows.
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%q leads out of %s", name, dir)
	}
	if a.dryRun {
		return nil
	}
	// Names use slashes on every system.
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// newCatalogDiffCommand returns the command for pipelines: its exit code says
// whether a change of declarations may be merged.
func newCatalogDiffCommand(a *app) *cobra.Command {
	var fail, allow string
	c := &cobra.Command{
		Use: "diff OLD NEW", Short: "Show what changed between two catalogues; fails if it breaks readers", Args: cobra.ExactArgs(2),
		RunE: a.action(func(ctx context.Context, args []string) error {
			// Either may be a file or a running service: a pipeline compares what is deployed with
			// what is about to be.
			old, err := a.readCatalog(ctx, args[0])
			if err != nil {
				return err
			}
			now, err := a.readCatalog(ctx, args[1])
			if err != nil {
				return err
			}
			return a.diffCatalogs(old, now, catalog.Level(fail), allow)
		}),
	}
	c.Flags().Var(newChoice(&fail, "breaking", "dangerous"), "fail", "`level` of changes to fail at: breaking or dangerous; undecided ones fail at both")
	c.Flags().StringVar(&allow, "allow", "", "`file` of changes that may pass, a line of path, rule, date and reason each")
	return c
}

// diffCatalogs prints the changes. It fails if a change at the level fail or above is not
// permitted by the file allow; an empty allow permits nothing.
func (a *app) diffCatalogs(old, now *catalog.Document, fail catalog.Level, allow string) error {
	// Allowances mark changes and hide none, so the changes are found first.
	changes := catalog.Compare(old, now)
	if allow != "" {
		f, err := os.Open(allow)
		if err != nil {
			return err
		}
		defer f.Close()
		allowances, err := catalog.ReadAllowances(f)
		if err != nil {
			return fmt.Errorf("%s: %w", allow, err)
		}
		// A line that covers nothing is reported but is not a failure: the change may have been
		// released since, and the line can be removed.
		for _, unused := range catalog.Allow(changes, allowances) {
			a.note("%s: the line for %s %s covers nothing any more.", allow, unused.Path, unused.Rule)
		}
	}
	if a.json() {
		if err := a.printJSON(changes); err != nil {
			return err
		}
	} else {
		for _, c := range changes {
			if err := a.say("%s", c); err != nil {
				return err
			}
		}
	}
	// The changes themselves are the message, so no second one follows.
	if len(catalog.Failing(changes, fail)) > 0 {
		return errReported
	}
	return nil
}
