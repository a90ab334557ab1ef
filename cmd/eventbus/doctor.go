package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// examination holds the command's flags: what to examine beyond the cluster
// itself.
type examination struct {
	catalog string
	group   string
}

func newDoctorCommand(a *app) *cobra.Command {
	var e examination
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine the cluster, this machine's way to it, and, if named, topics and a group",
		Long: `Examine the brokers, TLS, SASL, rights and clocks; with --catalog the topics that
it declares, with --group a consumer group. Each finding has a verdict and, unless
all is well, a remedy. Fails if any verdict is "fail".`,
		Args: cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.examine(ctx, &e) }),
	}
	c.Flags().StringVar(&e.catalog, "catalog", "", "`FILE|URL` of the catalogue that declares the topics")
	c.Flags().StringVar(&e.group, "group", "", "consumer `group` to examine")
	complete(c, "group", a.groupNames)
	return c
}

// The verdicts. unknown is for what can't be examined with these credentials:
// that is not a failure.
const (
	fine    = "ok"
	warning = "warn"
	bad     = "fail"
	unknown = "unknown"
)

// finding is the result of one check.
type finding struct {
	// Check names what was checked, such as "broker 1" or a topic.
	Check   string `json:"check"`
	Verdict string `json:"verdict"`
	Finding string `json:"finding"`
	// Remedy says what to do; empty if the verdict is fine.
	Remedy string `json:"remedy,omitempty"`
}

// findings collects the results in the order of the checks.
type findings []finding

func (f *findings) add(check, verdict, remedy, format string, args ...any) {
	*f = append(*f, finding{check, verdict, fmt.Sprintf(format, args...), remedy})
}

// examine runs all checks. One that fails does not keep the others from
// running, except for the connection itself: without it there is nothing to
// examine.
func (a *app) examine(ctx context.Context, e *examination) error {
	var found findings
	settings, err := a.settings()
	if err != nil {
		return err
	}
	t, err := a.transport(ctx)
	if err != nil {
		found.add("brokers", bad, "check the addresses, that brokers run, and what lies between; with TLS or SASL, what the error says of them", "%v", err)
		return a.report(found)
	}
	examineBrokers(ctx, &found, t)
	examineSecurity(&found, &settings.Kafka)
	examineRights(ctx, &found, t)
	var topics []transport.TopicInfo
	if e.catalog != "" {
		if topics, err = a.examineTopics(ctx, &found, t, e); err != nil {
			return err
		}
	}
	if e.group != "" {
		a.examineGroup(ctx, &found, t, e.group)
	}
	examineClocks(ctx, &found, t, topics, time.Now)
	return a.report(found)
}

// report prints the findings, and fails if any verdict is bad. Warnings do not
// fail the command: a development cluster has them all the time.
func (a *app) report(found findings) error {
	colours := map[string]text.Color{fine: text.FgGreen, warning: text.FgYellow, bad: text.FgRed, unknown: text.Faint}
	var rows []table.Row
	failed := false
	for _, f := range found {
		failed = failed || f.Verdict == bad
		rows = append(rows, table.Row{a.paint(f.Verdict, colours[f.Verdict]), f.Check, f.Finding})
		if f.Remedy != "" && f.Verdict != fine {
			rows = append(rows, table.Row{"", "", "→ " + f.Remedy})
		}
	}
	err := a.show(found, table.Row{"verdict", "check", "finding"}, rows)
	if err == nil && failed {
		err = errReported
	}
	return err
}

// slow is the round trip above which a broker gets a warning. Within one data
// centre it takes less than a millisecond.
const slow = 100 * time.Millisecond

// examineBrokers connects to every broker at the address that the cluster
// names. Clients bootstrap from one address and then use these: that they
// differ from what can be reached is the most frequent fault of a new cluster.
func examineBrokers(ctx context.Context, found *findings, t *kafka.Transport) {
	probes, err := kafka.NewAdmin(t).Probe(ctx)
	if err != nil {
		found.add("brokers", bad, "see whether the cluster has a controller", "%v", err)
		return
	}
	for _, p := range probes {
		name := fmt.Sprintf("broker %d", p.ID)
		at := fmt.Sprintf("%s:%d", p.Host, p.Port)
		switch {
		case p.Err != nil:
			found.add(name, bad, "the cluster names this address (advertised.listeners): it has to be reachable from here, and the broker to run", "%s: %v", at, p.Err)
		case p.Took > slow:
			found.add(name, warning, "publishing takes at least one such round trip: run closer to the brokers, or look at their load", "%s answers in %s, speaks Kafka %s", at, p.Took.Round(time.Millisecond), p.Version)
		default:
			found.add(name, fine, "", "%s answers in %s, speaks Kafka %s", at, p.Took.Round(10*time.Microsecond), p.Version)
		}
		if p.TLS != nil && len(p.TLS.PeerCertificates) > 0 {
			examineCertificate(found, name+" TLS", p.TLS.PeerCertificates[0].NotAfter)
		}
	}
	// Replication over fewer brokers leaves none to acknowledge when one is
	// lost.
	if len(probes) < 3 {
		found.add("cluster", warning, "run three brokers or more, with replication 3 and min.insync.replicas 2, where events must survive the loss of one",
			"%s", counted(len(probes), "broker"))
	}
}

// examineCertificate warns two weeks before a broker's certificate ends.
func examineCertificate(found *findings, check string, until time.Time) {
	left := time.Until(until).Round(time.Hour)
	if left < 14*24*time.Hour {
		found.add(check, warning, "renew it", "the certificate ends in %s", left)
		return
	}
	found.add(check, fine, "", "the certificate is good until %s", until.Format(time.DateOnly))
}
