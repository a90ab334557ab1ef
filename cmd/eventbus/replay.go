package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/internal/replay"
)

// again holds the flags of a replay: the body of the order, and where to send it.
type again struct {
	flags       orderFlags
	group, from string
	to, service string
	offsets     []string
	keys, types []string
	most        int64
	apply       bool
}

// newReplayCommand returns the command that runs a group's handlers again. The service does
// that, since this program does not have the handlers.
func newReplayCommand(a *app) *cobra.Command {
	var f again
	c := &cobra.Command{
		Use:   "replay TOPIC",
		Short: "Run a group's handlers again over a stretch of a topic",
		Long: `Run the handlers of a group again over a stretch of a topic, in the service whose
admin handler --admin names (its token is in ` + tokenVariable + `). The group's offsets stay
as they are, and its live events go on beside the replay. Dead letters come back by
eventbus dlq replay instead.

Without --apply the events are counted, by partition and type, and nothing is handled.
With it they are handled: those that were counted, at most --most of them. Ctrl-C ends
the replay in order. The service logs who gave the order and why.`,
		Example: `  eventbus replay prod.sales.public.customers.v1 --group mailer-prod --admin http://127.0.0.1:8081 --from 2h
  eventbus replay prod.sales.public.customers.v1 --group mailer-prod --admin http://127.0.0.1:8081 --offsets 3@100-199 --apply --why "mails were lost"`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.topicNames),
		RunE: a.action(func(ctx context.Context, args []string) error { return a.replayGroup(ctx, args[0], &f) }),
	}
	flags := c.Flags()
	flags.StringVar(&f.group, "group", "", "consumer `group` whose handlers run (required)")
	flags.StringVar(&f.service, "admin", "", "`URL` of the admin handler of a member (required)")
	flags.StringVar(&f.from, "from", "", "events published since this `time` (RFC 3339), or duration ago")
	flags.StringVar(&f.to, "to", "", "events published before this `time` (RFC 3339), or duration ago; default now")
	flags.StringSliceVar(&f.offsets, "offsets", nil, "these `ranges` of partitions: PARTITION@FROM-TO, both included; of other partitions nothing")
	flags.StringArrayVar(&f.keys, "key", nil, "only events of this `key`; may be repeated")
	flags.StringSliceVar(&f.types, "type", nil, "only events of these `types`")
	flags.Int64Var(&f.most, "most", 10_000, "refuse a stretch with more events")
	flags.BoolVar(&f.apply, "apply", false, "handle the events, rather than count them")
	flags.StringVar(&f.flags.why, "why", "", "the `reason`, which the service logs; --apply needs it")
	flags.StringVar(&f.flags.who, "who", "", "`name` of the person who gives the order (default user@host)")
	complete(c, "group", a.groupNames)
	return c
}

// replayGroup counts what would be handled and, with --apply, asks and gives the order.
func (a *app) replayGroup(ctx context.Context, topic string, f *again) error {
	order, err := f.order(topic, time.Now())
	if err != nil {
		return err
	}
	would, err := a.orderReplay(ctx, f, order)
	if err != nil {
		return err
	}
	if !f.apply || a.dryRun {
		return a.showReplay(would)
	}
	// People see what they agree to; programs get one document at the end.
	if !a.json() {
		if err := a.showReplay(would); err != nil {
			return err
		}
	}
	events := int64(0)
	from, to := make(map[int32]int64), make(map[int32]int64)
	for _, p := range would.Partitions {
		from[p.Partition], to[p.Partition] = p.From, p.To
		for _, n := range p.Events {
			events += n
		}
	}
	if events == 0 {
		a.note("There is nothing to handle.")
		return nil
	}
	if err := a.confirm(ctx, "Run the handlers of %s again for %s", f.group, counted(events, "event")); err != nil {
		return err
	}
	// By the offsets that were agreed to rather than by times, which move on and would include
	// partitions added since.
	order["fromOffsets"], order["toOffsets"], order["apply"], order["from"] = from, to, true, replay.Never
	delete(order, "to")
	did, err := a.orderReplay(ctx, f, order)
	if err != nil {
		return err
	}
	if err := a.showReplay(did); err != nil {
		return err
	}
	if did.Error != "" {
		return fmt.Errorf("the replay ended early: %s", did.Error)
	}
	// A script has to see that events failed again.
	if slices.ContainsFunc(did.Partitions, func(p admin.ReplayedPartition) bool { return p.Failed > 0 }) {
		return errReported
	}
	return nil
}

// order returns the body of an order that only counts.
func (f *again) order(topic string, now time.Time) (map[string]any, error) {
	switch {
	case f.group == "" || f.service == "":
		return nil, misuse("--group and --admin are needed: a member of the group runs its handlers")
	case f.from == "" && len(f.offsets) == 0:
		return nil, misuse("--from or --offsets is needed: say where the replay begins")
	case f.from+f.to != "" && len(f.offsets) > 0:
		return nil, misuse("--offsets contradicts --from and --to")
	case f.apply && f.flags.why == "":
		return nil, misuse("--why is missing: handlers run again for events that were handled, so say why")
	case len(f.flags.why) > maxReason:
		return nil, misuse("--why has %d bytes: at most %d go to the log", len(f.flags.why), maxReason)
	case f.most < 1:
		return nil, misuse("--most is 1 or more")
	}
	who := f.flags.who
	if who == "" {
		who = operator()
	}
	body := map[string]any{"topic": topic, "keys": f.keys, "types": f.types, "most": f.most, "who": who, "why": f.flags.why}
	for name, text := range map[string]string{"from": f.from, "to": f.to} {
		if text == "" {
			continue
		}
		at, err := moment(text, now)
		if err != nil {
			return nil, misuse("--%s %s: write a time such as 2006-01-02T15:04:05Z, or a duration such as 2h", name, text)
		}
		body[name] = at.UTC()
	}
	from, to := make(map[int32]int64), make(map[int32]int64)
	for _, text := range f.offsets {
		r, ok := parseRange(text)
		if _, twice := from[r.Partition]; !ok || twice {
			return nil, misuse("--offsets %s: write PARTITION@FROM-TO, such as 3@100-199, once for a partition", text)
		}
		from[r.Partition], to[r.Partition] = r.From, r.To
	}
	if len(from) > 0 {
		body["fromOffsets"], body["toOffsets"] = from, to
		// Partitions without a range are left out.
		body["from"] = replay.Never
	}
	return body, nil
}

// orderReplay sends the order to the service and waits for its end, which may take long.
func (a *app) orderReplay(ctx context.Context, f *again, order map[string]any) (*admin.Replayed, error) {
	// PathEscape, since a group's name may contain any character.
	target, err := url.JoinPath(f.service, "groups", url.PathEscape(f.group), "replay")
	if err != nil {
		return nil, misuse("--admin %s: %v", f.service, err)
	}
	body, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, misuse("--admin: %v", err)
	}
	r.Header.Set("Content-Type", "application/json")
	if err := authorize(r); err != nil {
		return nil, err
	}
	// Like service, but without a timeout, which would end the replay with the connection.
	client := http.Client{CheckRedirect: service.CheckRedirect}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, refusal(resp)
	}
	did := new(admin.Replayed)
	// Bounded, since the address may be that of any server.
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxReplayed)).Decode(did); err != nil {
		return nil, fmt.Errorf("the service's answer is not the report of a replay: %w", err)
	}
	return did, nil
}

// maxReplayed bounds the report of a replay, in bytes.
const maxReplayed = 16 << 20

// showReplay prints a report: a row for each partition and type, then the failures.
func (a *app) showReplay(r *admin.Replayed) error {
	var rows []table.Row
	for _, p := range r.Partitions {
		// A window without matching events has no types.
		for _, typ := range slices.Sorted(maps.Keys(p.Events)) {
			rows = append(rows, table.Row{p.Partition, p.From, p.To, typ, p.Events[typ]})
		}
	}
	if err := a.show(r, table.Row{"partition", "from", "before", "type", "events"}, rows); err != nil || a.json() {
		return err
	}
	if !r.Applied {
		a.note("These would be handled; nothing was.")
		return nil
	}
	var handled, failed int64
	for _, p := range r.Partitions {
		handled, failed = handled+p.Handled, failed+p.Failed
	}
	for _, f := range r.Failures {
		if err := a.say("failed: %s", f); err != nil {
			return err
		}
	}
	return a.say("%s handled, %d failed.", counted(handled, "event"), failed)
}
