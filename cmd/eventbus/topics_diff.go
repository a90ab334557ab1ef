package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/transport"
)

// catalogFlag adds the required flag that names a catalogue. It panics if that
// fails: a mistake in this program.
func (a *app) catalogFlag(c *cobra.Command, source *string) {
	c.Flags().StringVar(source, "catalog", "", "`FILE|URL` of the catalogue that declares the topics")
	if err := c.MarkFlagRequired("catalog"); err != nil {
		panic(err) // the flag does not exist
	}
}

// readCatalog reads a catalogue from a file, or from the admin handler of a
// running service. ReadCatalog bounds what it reads.
func (a *app) readCatalog(ctx context.Context, source string) (*catalog.Document, error) {
	if !strings.HasPrefix(source, "http://") && !strings.HasPrefix(source, "https://") {
		file, err := os.Open(source)
		if err != nil {
			return nil, fmt.Errorf("catalogue: %w", err)
		}
		defer file.Close()
		d, err := catalog.Read(file)
		if err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", source, err)
		}
		return d, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return nil, misuse("--catalog: %v", err)
	}
	if err := authorize(req); err != nil {
		return nil, err
	}
	resp, err := service.Do(req)
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("catalogue %s: %w", source, refusal(resp))
	}
	d, err := catalog.Read(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("catalogue %s: %w", source, err)
	}
	return d, nil
}

// declared returns the topics that a catalogue declares, with their names in an
// environment: the one that is configured, or else that of the service that
// made the catalogue.
func (a *app) declared(ctx context.Context, source string) ([]transport.TopicSpec, error) {
	d, err := a.readCatalog(ctx, source)
	if err != nil {
		return nil, err
	}
	// Without brokers there is an error here. It is reported later, by the
	// commands that need them.
	settings, _ := a.settings()
	env := cmp.Or(settings.Bus.Environment, d.Environment)
	if env == "" {
		return nil, misuse("name the environment whose topics are meant: --environment Development, or %s", environmentVariable)
	}
	specs := make([]transport.TopicSpec, 0, len(d.Topics))
	var wrong []error
	for i := range d.Topics {
		spec, err := d.Topics[i].Spec(env)
		wrong = append(wrong, err)
		specs = append(specs, spec)
	}
	return specs, errors.Join(wrong...)
}

func newTopicsDiffCommand(a *app) *cobra.Command {
	var source string
	c := &cobra.Command{
		Use: "diff", Short: "Show where topics are not as a catalogue declares them; fails if any is not", Args: cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.diffTopics(ctx, source) }),
	}
	a.catalogFlag(c, &source)
	return c
}

// topicState is how a declared topic compares with the cluster's.
type topicState struct {
	Topic string `json:"topic"`
	// State is same, differs or missing.
	State       string                 `json:"state"`
	Differences []transport.Difference `json:"differences,omitempty"`

	spec transport.TopicSpec
	info *transport.TopicInfo
}

// compare returns the state of every topic that a catalogue declares.
func (a *app) compare(ctx context.Context, source string) ([]topicState, error) {
	specs, err := a.declared(ctx, source)
	if err != nil || len(specs) == 0 {
		return nil, err
	}
	t, err := a.transport(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(specs))
	for i := range specs {
		names[i] = specs[i].Name
	}
	infos, err := t.Admin().Topics(ctx, names...)
	if err != nil {
		return nil, err
	}
	states := make([]topicState, len(specs))
	for i := range infos {
		s := topicState{Topic: names[i], State: "same", spec: specs[i], info: &infos[i]}
		switch err := infos[i].Err; {
		case errors.Is(err, transport.ErrTopicMissing):
			s.State = "missing"
		case err != nil:
			return nil, fmt.Errorf("topic %s: %w", names[i], err)
		default:
			if s.Differences = specs[i].Differences(&infos[i]); len(s.Differences) > 0 {
				s.State = "differs"
			}
		}
		states[i] = s
	}
	return states, nil
}

// diffTopics prints the states, and fails if any topic is missing or differs,
// so that a pipeline can check a cluster.
func (a *app) diffTopics(ctx context.Context, source string) error {
	states, err := a.compare(ctx, source)
	if err != nil {
		return err
	}
	same := true
	var rows []table.Row
	for _, s := range states {
		same = same && s.State == "same"
		switch s.State {
		case "same":
			rows = append(rows, table.Row{s.Topic, a.paint(s.State, text.FgGreen)})
		case "missing":
			rows = append(rows, table.Row{s.Topic, a.paint(s.State, text.FgRed)})
		}
		for _, d := range s.Differences {
			rows = append(rows, table.Row{s.Topic, a.paint(s.State, text.FgYellow), d.What, d.Declared, d.Actual})
		}
	}
	err = a.show(states, table.Row{"topic", "state", "what", "declared", "actual"}, rows)
	if err == nil && !same {
		a.note("Missing topics are created by eventbus topics provision; how existing ones are kept is changed by hand, never by this tool.")
		err = errReported
	}
	return err
}

func newTopicsProvisionCommand(a *app) *cobra.Command {
	var source string
	c := &cobra.Command{
		Use: "provision", Short: "Create the topics that a catalogue declares and the cluster lacks; existing ones stay as they are",
		Args: cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.provisionTopics(ctx, source) }),
	}
	a.catalogFlag(c, &source)
	return c
}

// provisionTopics creates the missing topics. Topics that differ stay as they
// are: a smaller retention would delete events, more partitions would move
// keys.
func (a *app) provisionTopics(ctx context.Context, source string) error {
	states, err := a.compare(ctx, source)
	if err != nil {
		return err
	}
	missing := []transport.TopicSpec{}
	var rows []table.Row
	for _, s := range states {
		if s.State == "missing" {
			missing = append(missing, s.spec)
			rows = append(rows, table.Row{s.Topic, brokers(int(s.spec.Partitions)), brokers(int(s.spec.Replication))})
		}
	}
	if len(missing) == 0 {
		a.note("Nothing to create: %s declared, none missing.", counted(len(states), "topic"))
	} else if !a.json() {
		if err := a.printTable(table.Row{"to be created", "partitions", "replication"}, rows); err != nil {
			return err
		}
	}
	if !a.dryRun && len(missing) > 0 {
		if err := a.confirm("Create %s", counted(len(missing), "topic")); err != nil {
			return err
		}
		if err := a.cluster.Admin().CreateTopics(ctx, missing...); err != nil {
			return err
		}
		a.note("%s created.", counted(len(missing), "topic"))
	}
	if a.json() {
		return a.printJSON(missing)
	}
	return nil
}

// brokers returns a number as text; zero is the broker's default.
func brokers(n int) string {
	if n == 0 {
		return "broker's default"
	}
	return strconv.Itoa(n)
}

// retention returns a retention time in milliseconds as people write it.
// Kafka's −1 means that nothing is removed.
func retention(ms string) string {
	n, err := strconv.ParseInt(ms, 10, 64)
	switch d := time.Duration(n) * time.Millisecond; {
	case err != nil:
		return ms
	case n < 0:
		return "unlimited"
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	default:
		return d.String()
	}
}
