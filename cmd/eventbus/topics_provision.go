package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/transport"
)

// newTopicsProvisionCommand returns the command that creates topics. It never changes an
// existing one.
func newTopicsProvisionCommand(a *app) *cobra.Command {
	var source string
	var groups []string
	c := &cobra.Command{
		Use: "provision", Short: "Create the topics that a catalogue declares and the cluster lacks; existing ones stay as they are",
		Long: `Create the topics that a catalogue declares and the cluster lacks, with the
dead-letter and retry topics of the groups that handle them: those that the catalogue
names, as a service's own does, and those of --group, and the topic that keeps what
is decided about dead letters. Existing topics stay as they are. With --dry-run it prints what others would have to create, and the rights that
the service needs.`,
		Args: cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.provisionTopics(ctx, source, groups) }),
	}
	a.catalogFlags(c, &source, &groups)
	return c
}

// provisionPlan is what a service needs in a cluster: missing topics, and rights.
type provisionPlan struct {
	// Create and Rights are empty rather than null if nothing is needed.
	Create []plannedTopic `json:"create"`
	Rights []right        `json:"rights"`
}

// plannedTopic is a topic to be created. Zero partitions or replication, and absent
// configurations, mean the broker's default.
type plannedTopic struct {
	Topic       string            `json:"topic"`
	Partitions  int32             `json:"partitions,omitempty"`
	Replication int16             `json:"replication,omitempty"`
	Configs     map[string]string `json:"configs,omitempty"`
}

// right is an operation that has to be allowed, in the terms of Kafka's ACLs. Read and
// Write imply Describe.
type right struct {
	Operation string `json:"operation"`
	// Resource is topic or group.
	Resource string `json:"resource"`
	Name     string `json:"name"`
	// For says what needs the right.
	For string `json:"for"`
	// Perhaps is set if the catalogue does not say whether the service does that.
	Perhaps bool `json:"perhaps,omitempty"`
}

// needsOf returns the rights that a declared topic needs, under its full name. The catalogue
// of a service says what the service does; one of bare declarations does not.
func needsOf(t *catalog.Topic, name string, groups []string, service bool) (needs []right) {
	published := slices.ContainsFunc(t.Events, func(e catalog.Event) bool { return e.Published })
	// Bare declarations don't say who publishes: the right may be needed.
	if published || !service {
		needs = append(needs, right{"Write", "topic", name, "publishing", !published})
	}
	if len(groups) > 0 || !service {
		needs = append(needs, right{"Read", "topic", name, "handling", len(groups) == 0})
	}
	// Brokers check Read on the group for each commit and each member that joins.
	for _, group := range groups {
		needs = append(needs, right{"Read", "group", group, "handling", false})
	}
	return needs
}

// provisionTopics creates the missing topics. Topics that differ are left alone: a smaller
// retention would delete events, and more partitions would move keys.
func (a *app) provisionTopics(ctx context.Context, source string, groups []string) error {
	states, err := a.compare(ctx, source, groups)
	if err != nil {
		return err
	}
	// The plan is complete before anything is created: a missing foreign topic leaves the
	// cluster unchanged.
	plan := provisionPlan{Create: []plannedTopic{}, Rights: []right{}}
	var missing []transport.TopicSpec
	for i := range states {
		s := &states[i]
		// Its owner decides about partitions and retention. Creating it by a guess would decide
		// them for the owner.
		if s.State == "missing" && s.foreign {
			return fmt.Errorf("topic %s does not exist and is another program's, as the catalogue says: nothing was created", s.spec.Name)
		}
		if s.State == "missing" {
			missing = append(missing, s.spec)
			plan.Create = append(plan.Create, plannedTopic{s.spec.Name, s.spec.Partitions, s.spec.Replication, s.spec.Configs})
		}
		for _, need := range s.needs {
			// Several topics of a group need the same right on the group.
			if !slices.Contains(plan.Rights, need) {
				plan.Rights = append(plan.Rights, need)
			}
		}
	}
	if len(missing) == 0 {
		a.note("Nothing to create: %s declared, none missing.", counted(len(states), "topic"))
	}
	// People see the plan before the question; programs get one document at the end.
	if !a.json() {
		if err := a.printPlan(&plan); err != nil {
			return err
		}
	}
	if !a.dryRun && len(missing) > 0 {
		if err := a.confirm(ctx, "Create %s", counted(len(missing), "topic")); err != nil {
			return err
		}
		// compare has made the connection: otherwise there would be no states, and none missing.
		if err := a.cluster.Admin().CreateTopics(ctx, missing...); err != nil {
			return err
		}
		a.note("%s created.", counted(len(missing), "topic"))
	}
	if a.json() {
		return a.printJSON(plan)
	}
	return nil
}

// printPlan prints the topics that are missing and, in a dry run, the rights that the
// service needs.
func (a *app) printPlan(plan *provisionPlan) error {
	var rows []table.Row
	for _, t := range plan.Create {
		rows = append(rows, table.Row{
			t.Topic, brokers(int(t.Partitions)), brokers(int(t.Replication)), t.Configs["cleanup.policy"],
			retention(t.Configs["retention.ms"]), t.Configs["max.message.bytes"], t.Configs["min.insync.replicas"],
		})
	}
	// The note above says more than an empty table.
	if len(rows) > 0 {
		err := a.printTable(table.Row{"to be created", "partitions", "replication", "cleanup", "retention", "max.message.bytes", "min in sync"}, rows)
		if err != nil {
			return err
		}
	}
	// Rights are for those who grant them, so only a dry run prints them.
	if !a.dryRun {
		return nil
	}
	rows = nil
	for _, r := range plan.Rights {
		purpose := r.For
		if r.Perhaps {
			purpose += ", if it does"
		}
		rows = append(rows, table.Row{r.Operation, r.Resource, r.Name, purpose})
	}
	return a.printTable(table.Row{"right", "on", "name", "for"}, rows)
}

// brokers formats a number; zero means the broker's default.
func brokers(n int) string {
	if n == 0 {
		return "broker's default"
	}
	return strconv.Itoa(n)
}
