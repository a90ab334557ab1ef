package main

import (
	"context"
	"errors"
	"math"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/mask"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/transport"
)

// newDLQCommand returns the group of commands for dead letters.
func newDLQCommand(a *app) *cobra.Command {
	// Commands that show letters come first, then decisions, then jobs.
	c := a.group("dlq", "Look at dead letters, and bring them back",
		newDLQListCommand(a), newDLQStatsCommand(a), newDLQShowCommand(a), newDLQReplayCommand(a),
		newDLQSkipCommand(a), newDLQQuarantineCommand(a), newDLQPurgeCommand(a),
		newDLQJobsCommand(a), newDLQStopCommand(a), newDLQResumeCommand(a))
	c.Long = `Look at dead letters, decide about them, and bring them back to the group that
failed. A letter is open until it is replayed, skipped or put into quarantine. Each
order is a job: who gave it and why, how far it is, and what was decided are kept in
topic ` + redrive.Topic + `, so another process can go on with it.`
	return c
}

// dead names a dead-letter topic, or one letter in it. The zero value names
// nothing.
type dead struct {
	topic string
	// one is set if a single letter is meant, at partition and offset.
	one       bool
	partition int32
	offset    int64
}

// parseDead reads TOPIC or TOPIC/PARTITION@OFFSET, the form in which tail and show
// print a place. TOPIC/PARTITION/OFFSET is accepted too.
func parseDead(s string) (dead, error) {
	topic, rest, one := strings.Cut(s, "/")
	if !one {
		return dead{topic: s}, nil
	}
	// Names of Kafka topics contain no slash, so the first one ends the topic.
	rest = strings.Replace(rest, "/", "@", 1)
	partition, offset, ok := strings.Cut(rest, "@")
	// Both numbers are parsed before either is checked: one message covers all mistakes.
	p, err := strconv.ParseInt(partition, 10, 32)
	o, err2 := strconv.ParseInt(offset, 10, 64)
	if !ok || err != nil || err2 != nil || p < 0 || o < 0 {
		return dead{}, misuse("%s: write TOPIC, or TOPIC/PARTITION@OFFSET for one record", s)
	}
	return dead{topic, true, int32(p), o}, nil
}

// at returns the partition of a single letter. It must not be called unless d.one is set.
func (d dead) at() transport.Partition {
	return transport.Partition{Topic: d.topic, Partition: d.partition}
}

// letters returns the client for the cluster's dead letters, which acts for the person
// that runs the program.
func (a *app) letters(ctx context.Context) (*redrive.Client, error) {
	if a.dead != nil {
		return a.dead, nil
	}
	t, err := a.transport(ctx)
	if err != nil {
		return nil, err
	}
	// Create lets the first order in a cluster create the topic of decisions. The app still
	// closes the transport.
	a.dead = redrive.New(t, redrive.Config{Who: operator(), Create: true})
	return a.dead, nil
}

// operator names the person that runs the program: user@host.
func operator() string {
	// A container may know neither. A vague name is better than none, and --who can give a
	// better one.
	name, host := "somebody", "somewhere"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil && h != "" {
		host = h
	}
	return name + "@" + host
}

// box opens a dead-letter topic. For a topic that does not exist, the error has the same
// remedy as in all commands; redrive refuses names of other kinds.
func (a *app) box(ctx context.Context, topic string) (*redrive.Box, error) {
	c, err := a.letters(ctx)
	if err != nil {
		return nil, err
	}
	// Only the name of a dead-letter topic is checked for existence here: for any other,
	// redrive says what kind of topic is wanted. letters has set a.cluster.
	if naming.IsDead(topic) {
		if _, err := a.oneTopic(ctx, a.cluster, topic); err != nil {
			return nil, err
		}
	}
	return c.Open(ctx, topic)
}

// deadTopics completes the names of dead-letter topics.
func (a *app) deadTopics(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	// By suffix only: whether a topic with a chosen name holds dead letters is found out when
	// a command runs, so such names have to be typed.
	names, d := a.topicNames(c, args, begun)
	return slices.DeleteFunc(names, func(n string) bool { return !naming.IsDead(n) }), d
}

// letterFilter holds the flags that choose letters. Times and states stay text until
// parse, since pflag has no such types.
type letterFilter struct {
	redrive.Filter
	states, at    []string
	since, before string
	catalog       catalogued
}

// flags adds the flags that choose letters. A letter has to match every flag that is
// given, and any of the flag's values.
func (f *letterFilter) flags(c *cobra.Command) {
	// Keys and ids may contain commas, so they are arrays rather than slices, which pflag
	// would split.
	flags := c.Flags()
	flags.StringSliceVar(&f.Types, "type", nil, "only events of these `types`")
	flags.StringArrayVar((*[]string)(&f.Keys), "key", nil, "only events of this `key`; may be repeated")
	flags.StringSliceVar(&f.Reasons, "reason", nil, "only letters of these `reasons`, such as exhausted, permanent, malformed (not a CloudEvent) or undecodable (data of another form)")
	flags.StringArrayVar(&f.IDs, "id", nil, "only the event of this `id`; may be repeated")
	flags.StringSliceVar(&f.Fingerprints, "cause", nil, "only letters of these `causes`, as stats shows them")
	flags.StringSliceVar(&f.at, "offsets", nil, "only letters in these `ranges`: PARTITION@FROM-TO, both included")
	flags.StringVar(&f.since, "since", "", "only letters that died since this `time` (RFC 3339), or duration ago")
	flags.StringVar(&f.before, "before", "", "only letters that died before this `time` (RFC 3339), or duration ago")
	f.catalog.flag(c)
}

// groupFlag adds --group. The skip command has a --group of its own, the group of a record.
func (f *letterFilter) groupFlag(a *app, c *cobra.Command) {
	c.Flags().StringArrayVar(&f.Groups, "group", nil, "only letters of this consumer `group`; may be repeated")
	complete(c, "group", a.groupNames)
}

// stateFlag adds --state, to the commands that only show letters: those that change
// letters imply the states.
func (f *letterFilter) stateFlag(a *app, c *cobra.Command) {
	c.Flags().StringSliceVar(&f.states, "state", nil, "only letters in these `states`: open, replayed, skipped, quarantined")
	complete(c, "state", a.fixed("open", "replayed", "skipped", "quarantined"))
}

// plain sets Plain, the types of records that name none, if --catalog declares their topic as
// plain with one type. Without --type and --id it does nothing, since only those need types.
func (f *letterFilter) plain(ctx context.Context, a *app, dead string) error {
	f.Plain = nil
	if len(f.Types) == 0 && len(f.IDs) == 0 {
		return nil
	}
	document, err := f.catalog.document(ctx, a)
	if err != nil || document == nil {
		return err
	}
	var topics []string
	// A derived name begins with that of its topic.
	derived := naming.IsDead(dead) && slices.ContainsFunc(document.Topics, func(t catalog.Topic) bool { return mask.Covers(&t, dead) })
	if derived {
		for i := range dead {
			if dead[i] == '.' {
				topics = append(topics, dead[:i])
			}
		}
	} else {
		t, err := a.transport(ctx)
		if err != nil {
			return err
		}
		infos, err := t.Admin().Topics(ctx)
		if err != nil {
			return err
		}
		for i := range infos {
			topics = append(topics, infos[i].Name)
		}
	}
	f.Plain = make(map[string]string)
	for _, topic := range topics {
		types := mask.PlainTypes([]*catalog.Document{document}, topic)
		switch {
		case len(types) == 0 || len(f.Types) > 0 && !slices.ContainsFunc(types, func(typ string) bool { return slices.Contains(f.Types, typ) }):
		case len(types) == 1:
			f.Plain[topic] = types[0]
		default:
			a.note("Records of %s name no type, and the catalogue has %d on it: none of them is chosen by --type or --id.", topic, len(types))
		}
	}
	return nil
}

// parse fills the embedded Filter from the texts of --since, --before, --offsets and
// --state.
func (f *letterFilter) parse() (err error) {
	// Both bounds use one time, so that --since 2h --before 1h is exactly an hour.
	now := time.Now()
	for _, bound := range []struct {
		flag, value string
		to          *time.Time
	}{{"--since", f.since, &f.After}, {"--before", f.before, &f.Before}} {
		if bound.value == "" {
			continue
		}
		if *bound.to, err = moment(bound.value, now); err != nil {
			return misuse("%s %s: write a time such as 2006-01-02T15:04:05Z, or a duration such as 2h", bound.flag, bound.value)
		}
	}
	// Reset, so that parsing twice adds nothing.
	f.Ranges = nil
	for _, text := range f.at {
		r, ok := parseRange(text)
		if !ok {
			return misuse("--offsets %s: write PARTITION@FROM-TO, such as 3@100-199", text)
		}
		f.Ranges = append(f.Ranges, r)
	}
	// Empty means the states that the command implies.
	f.States = nil
	for _, name := range f.states {
		s, ok := redrive.StateOf(name)
		if !ok {
			return misuse("--state %s: write open, replayed, skipped or quarantined", name)
		}
		f.States = append(f.States, s)
	}
	return nil
}

// parseRange reads PARTITION@FROM-TO, or PARTITION@OFFSET.
func parseRange(text string) (r redrive.Range, ok bool) {
	// Without @ the span is empty, which does not parse.
	partition, span, _ := strings.Cut(text, "@")
	from, to, several := strings.Cut(span, "-")
	if !several {
		to = from
	}
	p, err := strconv.ParseInt(partition, 10, 32)
	first, err2 := strconv.ParseInt(from, 10, 64)
	last, err3 := strconv.ParseInt(to, 10, 64)
	// The largest offset is refused, since the end of a Range is one past it.
	ok = errors.Join(err, err2, err3) == nil && p >= 0 && first >= 0 && last >= first && last < math.MaxInt64
	return redrive.Range{Partition: int32(p), From: first, To: last + 1}, ok //nolint:gosec // parsed as one
}

// newDLQListCommand returns the command that lists dead-letter topics.
func newDLQListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list [TOPIC…]", Short: "List the dead-letter topics, and how many letters wait in each",
		Long: `List the dead-letter topics, and how many letters wait in each. A name that a service
chose by DeadLetterTopic is found once something was decided about its letters; before,
name the topic here. All other commands take such a name as well.`,
		ValidArgsFunction: a.topicNames,
		RunE:              a.action(a.listDead),
	}
}

// deadLine is the line of a dead-letter topic in a list: numbers of letters. Open and
// Quarantined count what the log has now. Replayed and Skipped count all letters since
// the topic was created, including those that retention or a purge has removed.
type deadLine struct {
	Topic       string `json:"topic"`
	Open        int64  `json:"open"`
	Quarantined int64  `json:"quarantined"`
	Replayed    int64  `json:"replayed"`
	Skipped     int64  `json:"skipped"`
}

// listDead prints a line for each dead-letter topic of the cluster, or of an environment,
// and for those in named.
func (a *app) listDead(ctx context.Context, named []string) error {
	c, err := a.letters(ctx)
	if err != nil {
		return err
	}
	topics, err := c.Topics(ctx, named...)
	if err != nil {
		return err
	}
	meant, err := a.meant()
	if err != nil {
		return err
	}
	lines, rows := []deadLine{}, []table.Row{}
	var wrong []error
	for _, topic := range topics {
		if !meant(topic) && !slices.Contains(named, topic) {
			continue
		}
		b, err := c.Open(ctx, topic)
		if err != nil {
			// One topic that can't be read does not hide the others.
			wrong = append(wrong, err)
			continue
		}
		// The counts come from the decisions and the ends of the logs: no letter is read.
		l := deadLine{b.Topic, b.Count(redrive.Open), b.Count(redrive.Quarantined), b.Count(redrive.Replayed), b.Count(redrive.Skipped)}
		lines = append(lines, l)
		rows = append(rows, table.Row{l.Topic, l.Open, l.Quarantined, l.Replayed, l.Skipped})
	}
	// What could be read is shown even if some topics could not.
	wrong = append(wrong, a.show(lines, table.Row{"dead-letter topic", "open", "quarantined", "ever replayed", "ever skipped"}, rows))
	return errors.Join(wrong...)
}

// none reports that no letters were chosen. That is not a failure: a script that
// replays every hour often finds none.
func (a *app) none(topic string) error {
	// An empty list, so that programs get JSON.
	if a.json() {
		return a.printJSON([]struct{}{})
	}
	return a.say("%s has no such letters; eventbus dlq list counts those in other states.", topic)
}
