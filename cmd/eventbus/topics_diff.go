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

// catalogFlags adds the required flag that names a catalogue, and a flag for groups beyond
// those that the catalogue names. It panics on failure, which is a mistake in this program.
func (a *app) catalogFlags(c *cobra.Command, source *string, groups *[]string) {
	c.Flags().StringVar(source, "catalog", "", "`FILE|URL` of the catalogue that declares the topics")
	c.Flags().StringSliceVar(groups, "group", nil, "`groups` that handle the topics, whose dead-letter and retry topics are meant too; a service's own catalogue names its groups")
	complete(c, "group", a.groupNames)
	if err := c.MarkFlagRequired("catalog"); err != nil {
		panic(err) // the flag does not exist
	}
}

// readCatalog reads a catalogue from a file, or from the admin handler of a running
// service. catalog.Read bounds what it reads.
func (a *app) readCatalog(ctx context.Context, source string) (*catalog.Document, error) {
	// Anything without a scheme is a file name.
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
	// Before the request, so that the token is never sent in clear.
	if err := authorize(req); err != nil {
		return nil, err
	}
	resp, err := service.Do(req)
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	defer resp.Body.Close()
	// Any other status brings no catalogue, including a redirect, which service does not
	// follow.
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("catalogue %s: %w", source, refusal(resp))
	}
	d, err := catalog.Read(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("catalogue %s: %w", source, err)
	}
	return d, nil
}

// wanted is a topic that should exist: one that a catalogue declares, or the dead-letter or
// retry topic of a group that handles one.
type wanted struct {
	// spec is the topic under its full name, and its required configuration.
	spec transport.TopicSpec
	// needs are the rights that services need on it.
	needs []right
	// letters are the sources of the letters in the topic; empty for declared topics.
	letters []letterSource
	// later is set if services work without the topic.
	later bool
	// foreign is set if the topic belongs to another program: then it is not created here.
	foreign bool
	// partitioner is the name of a declared topic's partitioner; empty for the default.
	partitioner string
}

// letterSource is a topic from which one group's letters go to another topic.
type letterSource struct {
	topic string
	names naming.Letters
	// spec is the topic of the letters as this source alone would need it.
	spec transport.TopicSpec
}

// addLetters adds a topic of letters, or merges it with the one that groups share.
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

// merge makes the topic suitable for each of its sources.
func (w *wanted) merge() {
	var specs []transport.TopicSpec
	for _, l := range w.letters {
		specs = declare.WithLetters(specs, l.spec)
	}
	w.spec = specs[0]
}

// declared returns the topics that a catalogue declares, with their names in an
// environment: the configured one, or else that of the service that made the catalogue.
// They are followed by the topics of dead letters, for the groups that the catalogue names
// and those in groups.
func (a *app) declared(ctx context.Context, source string, groups []string) ([]wanted, error) {
	d, err := a.readCatalog(ctx, source)
	if err != nil {
		return nil, err
	}
	// Without brokers this returns an error, which commands that need them report later. An
	// unconfigured environment is that of the catalogue.
	settings, _ := a.settings()
	env := cmp.Or(settings.Bus.Environment, d.Environment)
	if env == "" {
		return nil, misuse("name the environment whose topics are meant: --environment Development, or %s", environmentVariable)
	}
	var all, letters []wanted
	var wrong []error
	for i := range d.Topics {
		topic := &d.Topics[i]
		// All faults are collected, since a catalogue may have many topics. An invalid spec is not
		// used: the errors are returned with the list.
		spec, err := topic.Spec(env)
		wrong = append(wrong, err)
		// A group may be in both the catalogue and --group, but counts once.
		handling := slices.Compact(slices.Sorted(slices.Values(slices.Concat(topic.Groups, groups))))
		all = append(all, wanted{spec: spec, needs: needsOf(topic, spec.Name, handling, d.Service != ""), foreign: topic.Address != "" && !topic.Create, partitioner: topic.Partitioner})
		for _, group := range handling {
			var names naming.Letters
			names.Dead, names.Retry, err = topic.LetterTopics(env, group)
			wrong = append(wrong, err)
			// The errors above are returned, so invalid names are not used.
			dead, retry := declare.LetterTopics(&spec, names)
			letters = addLetters(letters, letterSource{spec.Name, names, dead}, right{Operation: "Write", For: "dead letters of " + group})
			letters = addLetters(letters, letterSource{spec.Name, names, retry}, right{Operation: "Read", For: "redelivered letters of " + group})
		}
	}
	// Without groups nobody decides about dead letters, and no ledger is needed.
	if len(letters) > 0 {
		// It is replicated like the letters.
		letters = append(letters, wanted{spec: declare.Ledger(&letters[len(letters)-1].spec), later: true})
	}
	// Declared topics come first: compare needs a source before its letters.
	return append(all, letters...), errors.Join(wrong...)
}

// newTopicsDiffCommand returns the command for pipelines, which fails if a cluster does not
// match its declarations.
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

// topicState is the comparison of a declared topic with the cluster's.
type topicState struct {
	Topic string `json:"topic"`
	// State is same, differs or missing.
	State string `json:"state"`
	// Differences is empty unless State is differs.
	Differences []transport.Difference `json:"differences,omitempty"`

	wanted
	// info is the cluster's topic; its Err is set if the topic is missing.
	info *transport.TopicInfo
}

// follow adapts a topic of letters to its existing sources, which may have more partitions
// or larger records than declared.
func (w *wanted) follow(sources map[string]*transport.TopicInfo) {
	for i := range w.letters {
		l := &w.letters[i]
		source := sources[l.topic]
		if source == nil {
			continue
		}
		is := transport.TopicSpec{Name: source.Name, Partitions: source.Partitions, Replication: source.Replication, Configs: source.Configs}
		// Both are made; the name tells which one this is.
		dead, retry := declare.LetterTopics(&is, l.names)
		if l.spec = dead; w.spec.Name == retry.Name {
			l.spec = retry
		}
	}
	if len(w.letters) > 0 {
		w.merge()
	}
}

// compare returns the state of every topic that a catalogue declares, and of the topics for
// its groups' dead letters.
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
	// The answers are in the order of the names.
	for i := range infos {
		if infos[i].Err == nil {
			sources[names[i]] = &infos[i]
		}
		// Topics of letters come after their sources, which are known by now.
		all[i].follow(sources)
		if all[i].later { // the topics before it are final
			all[i].spec = declare.Ledger(&all[i-1].spec)
		}
		s := topicState{Topic: names[i], State: "same", wanted: all[i], info: &infos[i]}
		switch err := infos[i].Err; {
		case errors.Is(err, transport.ErrTopicMissing):
			s.State = "missing"
		// Any other error leaves unclear whether the topic exists, so creating it would be a guess.
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

// diffTopics prints the states. It fails if any topic is missing or differs, so that a
// pipeline can check a cluster.
func (a *app) diffTopics(ctx context.Context, source string, groups []string) error {
	states, err := a.compare(ctx, source, groups)
	if err != nil {
		return err
	}
	same := true
	var rows []table.Row
	for _, s := range states {
		// Services work without it until an operator decides something, so a pipeline does not fail
		// for it.
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

// retention formats a retention time in milliseconds. Kafka's −1 means unlimited.
func retention(ms string) string {
	// The text comes from a broker or a catalogue: if it is not a number, it is shown as it is.
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
