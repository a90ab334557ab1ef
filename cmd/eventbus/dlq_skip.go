package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/adminorder"
	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/grouplag"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
)

// newDLQSkipCommand returns the command that gives events up: a letter by a decision in
// the ledger, or a record that no group can handle yet by the group's commit.
func newDLQSkipCommand(a *app) *cobra.Command {
	var f letterFilter
	var flags orderFlags
	var group, admin string
	c := &cobra.Command{
		Use:   "skip TOPIC[/PARTITION@OFFSET]",
		Short: "Skip letters for good, or a record that holds up its key",
		Long: `Skip one letter of a dead-letter topic, or the open ones that
the flags choose, for good: they are never replayed.

With --group, TOPIC/PARTITION@OFFSET is a record that the group can't get past: one
whose dead letter can't be written, or of a type that no member knows. A running
service is asked through --admin, the address of its admin handler (its token is in
` + tokenVariable + `), and logs --who and --why; for a group without members the commit
is changed, and the output says both.`,
		Example: `  eventbus dlq skip prod.sales.public.customers.v1.mailer-prod.dlq --cause 1c9a02b7 --why "test orders"
  eventbus dlq skip prod.sales.public.customers.v1/3@1207 --group mailer-prod --admin http://127.0.0.1:8081 --why "of a test"`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.deadTopics),
	}
	f.flags(c)
	flags.flags(c)
	c.Flags().StringVar(&group, "group", "", "consumer `group` that the record holds up")
	c.Flags().StringVar(&admin, "admin", "", "`URL` of the admin handler of the member that has the partition")
	complete(c, "group", a.groupNames)
	// Both forms are one command, because the operator wants the same: to get past one event.
	// The other flags are checked only for the form that they belong to.
	c.RunE = a.action(func(ctx context.Context, args []string) error {
		if group == "" {
			if admin != "" {
				return misuse("--admin is for a record that holds a group up: name it with --group")
			}
			return a.decide(ctx, args[0], &f, redrive.Skip, &flags)
		}
		// A record is chosen by its place, so the flags that choose letters have no meaning here.
		d, err := parseDead(args[0])
		switch {
		case err != nil:
			return err
		case !d.one:
			return misuse("--group passes over one record: write TOPIC/PARTITION@OFFSET")
		case naming.IsDead(d.topic):
			return misuse("%s is a dead-letter topic, which no group handles: leave --group out to skip a letter", d.topic)
		// A dry run changes nothing, so it needs no reason.
		case flags.why == "" && !a.dryRun:
			return misuse("--why is missing: a skip can't be taken back, and the log has who gave the order and why")
		case len(flags.why) > maxReason:
			return misuse("--why has %d bytes: at most %d go to the log", len(flags.why), maxReason)
		}
		by := flags.order(redrive.Order{})
		if admin != "" {
			return a.skipThere(ctx, admin, group, d, by)
		}
		return a.skipHere(ctx, group, d, by)
	})
	return c
}

// maxReason is the longest reason that an admin handler accepts, in bytes.
const maxReason = 500

// skipThere asks the admin handler of a running member to skip the record. The member
// moves past it in memory and commits, so no other event is repeated.
func (a *app) skipThere(ctx context.Context, admin, group string, d dead, by redrive.Order) error {
	// PathEscape, since a group's name may contain any character.
	target, err := url.JoinPath(admin, "groups", url.PathEscape(group), "skip")
	if err != nil {
		return misuse("--admin %s: %v", admin, err)
	}
	// A dry run sends nothing, since the handler has no dry run.
	if a.dryRun {
		return a.say("POST %s would be asked to pass over %s@%d.", target, d.at(), d.offset)
	}
	if err := a.confirm(ctx, "Skip %s@%d in group %s for good", d.at(), d.offset, group); err != nil {
		return err
	}
	// The admin handler's form, for which there is no shared type.
	order := map[string]any{"topic": d.topic, "partition": d.partition, "offset": d.offset, "who": by.Who, "why": by.Why}
	if err := adminorder.Give(order, func(body []byte) error {
		resp, err := a.askService(ctx, http.MethodPost, target, body)
		if err != nil {
			return err
		}
		// The status is enough: askService returns an error for any failure.
		return resp.Body.Close()
	}); err != nil {
		return err
	}
	return a.passedOver(d, by)
}

// passedOver prints what was skipped, by whom and why.
func (a *app) passedOver(d dead, by redrive.Order) error {
	return a.say("%s@%d is passed over by %s: %s", d.at(), d.offset, by.Who, by.Why)
}

// skipHere skips the record by changing the group's commit. That works only without
// members: a member keeps its position in memory and would overwrite the commit.
func (a *app) skipHere(ctx context.Context, group string, d dead, by redrive.Order) error {
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	// A mistyped topic would otherwise look like one without a commit.
	info, err := a.oneTopic(ctx, t, d.topic)
	if err != nil {
		return err
	}
	g, err := a.oneGroup(ctx, t, group)
	if err != nil {
		return err
	}
	// Checked early for an error with a remedy; the broker checks again when the commit is
	// changed.
	if len(g.Members) > 0 {
		return fmt.Errorf("group %s has %s: ask the one that has %s with --admin URL, or stop them first: %w", group, counted(len(g.Members), "member"), d.at(), kafka.ErrGroupBusy)
	}
	// Positions includes the metadata, in which members keep what they have finished beyond
	// the commit.
	positions, err := grouplag.Positions(ctx, t, group)
	if err != nil {
		return err
	}
	at := positions[d.at()]
	// Without a commit there is nothing to change: the group's configuration determines
	// where it begins.
	if at == nil {
		return fmt.Errorf("group %s has committed nothing on %s", group, d.at())
	}
	_, end, err := grouplag.Edges(ctx, t, grouplag.Partitions(info)...)
	if err != nil {
		return err
	}
	// Skipping an offset beyond the end would skip an event that nobody has seen.
	if d.offset >= end[d.at()] {
		return fmt.Errorf("%s ends at %d: there is no offset %d to pass over", d.at(), end[d.at()], d.offset)
	}
	// The commit may hold a list of offsets that are finished beyond it: the record is added
	// there, so no earlier event is skipped.
	commit, err := engine.Finish(at, d.offset)
	if err != nil {
		return err
	}
	if a.dryRun {
		return a.say("Group %s would pass over %s@%d; its commit would be %d, is %d.", group, d.at(), d.offset, commit.Offset, at.Offset)
	}
	if err := a.confirm(ctx, "Skip %s@%d in group %s for good", d.at(), d.offset, group); err != nil {
		return err
	}
	// A member may have come and gone while the question was open.
	now, err := grouplag.Positions(ctx, t, group)
	if err != nil {
		return err
	}
	// Metadata is compared too: progress beyond the commit changes only that.
	if is := now[d.at()]; is == nil || is.Offset != at.Offset || is.Metadata != at.Metadata {
		return fmt.Errorf("group %s has moved on meanwhile: nothing was changed, look again with --dry-run", group)
	}
	if err := kafka.NewAdmin(t).ResetGroup(ctx, group, commit); err != nil {
		return err
	}
	// No member can log it, so the output is the only record.
	return a.passedOver(d, by)
}
