package main

import (
	"context"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/doctor"
	"github.com/eventbus-go/eventbus/transport"
)

// examination holds the command's flags: what to examine beyond the cluster
// itself.
type examination struct {
	// catalog is a file or URL; empty skips the checks of topics.
	catalog string
	// group is a name; empty skips the checks of a group.
	group string
}

// newDoctorCommand returns the command that runs all checks.
func newDoctorCommand(a *app) *cobra.Command {
	var e examination
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine the cluster, this machine's way to it, and, if named, topics and a group",
		Long: `Examine the brokers, TLS, SASL, rights and clocks; with --catalog the topics that
it declares and, in their newest records, whether all writers choose the same
partition for a key; with --group a consumer group. Each finding has a verdict and, unless
all is well, a remedy. Topics with the same warning share a line; -o json has one for
each. Fails if any verdict is "fail".`,
		Args: cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.examine(ctx, &e) }),
	}
	c.Flags().StringVar(&e.catalog, "catalog", "", "`FILE|URL` of the catalogue that declares the topics")
	c.Flags().StringVar(&e.group, "group", "", "consumer `group` to examine")
	complete(c, "group", a.groupNames)
	return c
}

// examine runs all checks. A failing check does not prevent the others, except for the
// connection itself, without which there is nothing to examine.
func (a *app) examine(ctx context.Context, e *examination) error {
	var found doctor.Findings
	settings, err := a.settings()
	// A wrong configuration is an error rather than a finding, since nothing was examined.
	if err != nil {
		return err
	}
	t, err := a.transport(ctx)
	if err != nil {
		// A finding rather than an error: an unreachable cluster is what doctor is used for most
		// often.
		found.Add("brokers", doctor.Bad, "check the addresses, that brokers run, and what lies between; with TLS or SASL, what the error says of them", "%v", err)
		return a.report(found)
	}
	// In the order in which an event meets them: brokers, the connection, rights, then topics
	// and groups.
	doctor.Brokers(ctx, &found, t)
	doctor.Security(&found, &settings.Kafka)
	doctor.Rights(ctx, &found, t)
	var topics []transport.TopicInfo
	if e.catalog != "" {
		if topics, err = a.examineTopics(ctx, &found, t, e); err != nil {
			return err
		}
	}
	if e.group != "" {
		doctor.GroupState(ctx, &found, t, e.group)
	}
	// Last, since it uses the topics that were found to exist above.
	doctor.Clocks(ctx, &found, t, topics, time.Now)
	return a.report(found)
}

// report prints the findings, and returns an error if any verdict is bad. Warnings do not
// fail the command: a development cluster always has them.
func (a *app) report(found doctor.Findings) error {
	colours := map[string]text.Color{doctor.Fine: text.FgGreen, doctor.Warning: text.FgYellow, doctor.Bad: text.FgRed, doctor.Unknown: text.Faint}
	var rows []table.Row
	failed := false
	// Programs get every finding.
	for _, f := range found.Folded() {
		// Unknown does not fail: credentials often lack the right to look.
		failed = failed || f.Verdict == doctor.Bad
		rows = append(rows, table.Row{a.paint(f.Verdict, colours[f.Verdict]), f.Check, f.Finding})
		// Remedies get their own rows: they are sentences and would widen the table.
		if f.Remedy != "" && f.Verdict != doctor.Fine {
			rows = append(rows, table.Row{"", "", "→ " + f.Remedy})
		}
	}
	err := a.show(found, table.Row{"verdict", "check", "finding"}, rows)
	if err == nil && failed {
		err = errReported
	}
	return err
}
