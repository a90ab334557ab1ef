package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/transport"
)

// catalogFlags adds the required flag that names a catalogue, and the groups that
// handle its topics beside those that it names. It panics if that fails: a mistake
// in this program.
func (a *app) catalogFlags(c *cobra.Command, source *string, groups *[]string) {
	c.Flags().StringVar(source, "catalog", "", "`FILE|URL` of the catalogue that declares the topics")
	c.Flags().StringSliceVar(groups, "group", nil, "`groups` that handle the topics, whose dead-letter and retry topics are meant too; a service's own catalogue names its groups")
	complete(c, "group", a.groupNames)
	if err := c.MarkFlagRequired("catalog"); err != nil {
		panic(err) // the flag does not exist
	}
}

// readCatalog reads a catalogue from a file, or from the admin handler of a
// running service. catalog.Read bounds what it reads.
func (a *app) readCatalog(ctx context.Context, source string) (*catalog.Document, error) {
	// A name without a scheme is a file, whatever else it looks like.
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
	// Before the request is sent: a token that would go out in clear is never sent.
	if err := authorize(req); err != nil {
		return nil, err
	}
	resp, err := service.Do(req)
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	defer resp.Body.Close()
	// Anything else has no catalogue, a redirect too, which service does not follow.
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("catalogue %s: %w", source, refusal(resp))
	}
	d, err := catalog.Read(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("catalogue %s: %w", source, err)
	}
	return d, nil
}

// wanted is a topic that should exist: one that a catalogue declares, or the
// dead-letter or retry topic of a group that handles one.
type wanted struct {
	// spec is the topic under its full name, with what is to hold for it.
	spec transport.TopicSpec
	// needs are the rights that a service uses it with.
	needs []right
	// letters say whose letters are in the topic; empty for declared ones.
	letters []letterSource
	// later reports whether services do without the topic.
	later bool
	// foreign reports whether the topic is another program's: it is not created here.
	foreign bool
	// partitioner is that of a declared topic, by name; empty for the default.
	partitioner string
}

// letterSource is a topic whose letters, of one group, are in another.
type letterSource struct {
	topic string
	names naming.Letters
	// spec is the letters' topic as this source alone needs it.
	spec transport.TopicSpec
}

// addLetters adds a topic of letters, and to the one that is there if groups share it.
func addLetters(all []wanted, from letterSource, need right) []wanted {
	need.Resource, need.Name = "topic", from.spec.Name
	i := slices.IndexFunc(all, func(w wanted) bool { return w.spec.Name == from.spec.Name })
	if i < 0 {
		return append(all, wanted{spec: from.spec, needs: []right{need}, letters: []letterSource{from}})
	}
	w := &all[i]
	w.needs, w.letters = append(w.needs, need), append(w.letters, from)
	w.merge()
	return all
}

// merge makes the topic good for each of its sources.
func (w *wanted) merge() {
	var specs []transport.TopicSpec
	for _, l := range w.letters {
		specs = declare.WithLetters(specs, l.spec)
	}
	w.spec = specs[0]
}

// declared returns the topics that a catalogue declares, with their names in an
// environment: the one that is configured, or else that of the service that
// made the catalogue. For the groups that the catalogue names, and for those in
// groups, they are followed by the topics of their dead letters.
func (a *app) declared(ctx context.Context, source string, groups []string) ([]wanted, error) {
	d, err := a.readCatalog(ctx, source)
	if err != nil {
		return nil, err
	}
	// Without brokers there is an error here. It is reported later, by the
	// commands that need them.
	// Where it names no environment, that of the catalogue is used.
	settings, _ := a.settings()
	env := cmp.Or(settings.Bus.Environment, d.Environment)
	if env == "" {
		return nil, misuse("name the environment whose topics are meant: --environment Development, or %s", environmentVariable)
	}
	var all, letters []wanted
	var wrong []error
	for i := range d.Topics {
		topic := &d.Topics[i]
		// Every fault is gathered, as one catalogue has many topics. A spec that failed is not
		// used: the errors are returned with the list.
		spec, err := topic.Spec(env)
		wrong = append(wrong, err)
		// A group may be in the catalogue and in --group; it is taken once.
		handling := slices.Compact(slices.Sorted(slices.Values(slices.Concat(topic.Groups, groups))))
		all = append(all, wanted{spec: spec, needs: needsOf(topic, spec.Name, handling, d.Service != ""), foreign: topic.Address != "" && !topic.Create, partitioner: topic.Partitioner})
		for _, group := range handling {
			var names naming.Letters
			names.Dead, names.Retry, err = topic.LetterTopics(env, group)
			wrong = append(wrong, err)
			// Invalid names were noted above, so these are only used if they can.
			dead, retry := declare.LetterTopics(&spec, names)
			letters = addLetters(letters, letterSource{spec.Name, names, dead}, right{Operation: "Write", For: "dead letters of " + group})
			letters = addLetters(letters, letterSource{spec.Name, names, retry}, right{Operation: "Read", For: "redelivered letters of " + group})
		}
	}
	// Without groups nobody decides about dead letters, and there is no ledger.
	if len(letters) > 0 {
		// It is as safe as the letters are.
		letters = append(letters, wanted{spec: declare.Ledger(&letters[len(letters)-1].spec), later: true})
	}
	// Declared topics come before letter topics: compare needs a source before its
	// letters.
	return append(all, letters...), errors.Join(wrong...)
}

// newTopicsDiffCommand returns the command for pipelines, which fails if a cluster
// is not as it is declared.
func newTopicsDiffCommand(a *app) *cobra.Command {
	var source string
	var groups []string
	c := &cobra.Command{
		Use: "diff", Short: "Show where topics are not as a catalogue declares them; fails if any is not", Args: cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.diffTopics(ctx, source, groups) }),
	}
	a.catalogFlags(c, &source, &groups)
	return c
}

// topicState is how a declared topic compares with the cluster's.
type topicState struct {
	Topic string `json:"topic"`
	// State is same, differs or missing.
	State string `json:"state"`
	// Differences is empty unless State is differs.
	Differences []transport.Difference `json:"differences,omitempty"`

	wanted
	// info is the cluster's topic; its Err is set if it is missing.
	info *transport.TopicInfo
}

// follow makes the topic of letters as its sources are, where these exist: they may
// have more partitions, or take larger records, than is declared.
func (w *wanted) follow(sources map[string]*transport.TopicInfo) {
	for i := range w.letters {
		l := &w.letters[i]
		source := sources[l.topic]
		if source == nil {
			continue
		}
		is := transport.TopicSpec{Name: source.Name, Partitions: source.Partitions, Replication: source.Replication, Configs: source.Configs}
		// Both are made, and the name says which of them it is.
		dead, retry := declare.LetterTopics(&is, l.names)
		if l.spec = dead; w.spec.Name == retry.Name {
			l.spec = retry
		}
	}
	if len(w.letters) > 0 {
		w.merge()
	}
}

// compare returns the state of every topic that a catalogue declares, and of those
// of its groups' dead letters.
func (a *app) compare(ctx context.Context, source string, groups []string) ([]topicState, error) {
	all, err := a.declared(ctx, source, groups)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	t, err := a.transport(ctx)
	if err != nil {
		return nil, err
	}
	// One request describes all of them.
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].spec.Name
	}
	infos, err := t.Admin().Topics(ctx, names...)
	if err != nil {
		return nil, err
	}
	states := make([]topicState, len(all))
	sources := make(map[string]*transport.TopicInfo)
	// The answers come in the order of the names.
	for i := range infos {
		if infos[i].Err == nil {
			sources[names[i]] = &infos[i]
		}
		// Letter topics come behind their sources, so what these are like is known here.
		all[i].follow(sources)
		if all[i].later { // all before it are as they will be now
			all[i].spec = declare.Ledger(&all[i-1].spec)
		}
		s := topicState{Topic: names[i], State: "same", wanted: all[i], info: &infos[i]}
		switch err := infos[i].Err; {
		case errors.Is(err, transport.ErrTopicMissing):
			s.State = "missing"
		// Any other error leaves open whether the topic exists: creating it then would be a
		// guess.
		case err != nil:
			return nil, fmt.Errorf("topic %s: %w", names[i], err)
		default:
			if s.Differences = all[i].spec.Differences(&infos[i]); len(s.Differences) > 0 {
				s.State = "differs"
			}
		}
		states[i] = s
	}
	return states, nil
}

// diffTopics prints the states, and fails if any topic is missing or differs,
// so that a pipeline can check a cluster.
func (a *app) diffTopics(ctx context.Context, source string, groups []string) error {
	states, err := a.compare(ctx, source, groups)
	if err != nil {
		return err
	}
	same := true
	var rows []table.Row
	for _, s := range states {
		// Services do without it until an operator decides something, so a pipeline does
		// not fail for it.
		if s.later && s.State == "missing" {
			a.note("%s is missing, which keeps what operators decide about dead letters.", s.Topic)
			continue
		}
		same = same && s.State == "same"
		switch s.State {
		case "same":
			rows = append(rows, table.Row{s.Topic, a.paint(s.State, text.FgGreen)})
		case "missing":
			rows = append(rows, table.Row{s.Topic, a.paint(s.State, text.FgRed)})
		}
		// A row for each difference, under the same name.
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

// retention returns a retention time in milliseconds as people write it.
// Kafka's −1 means that nothing is removed.
func retention(ms string) string {
	// Texts come from brokers or catalogues: what is not a number is shown as it is.
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
