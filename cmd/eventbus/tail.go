package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/grouplag"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// tail holds the command's flags.
type tail struct {
	// from is the text of --from.
	from string
	// last is how many records of each partition are shown if from is empty.
	last int64
	// types, keys and partitions choose records; an empty one chooses all.
	types      []string
	keys       []string
	partitions []int32
	// follow makes the command continue past the end of the log.
	follow bool
	// whole shows attributes and headers too.
	whole bool
	// limit is how many events are shown at most; zero means no limit.
	limit    int
	registry registryFlags
	masking  catalogued
}

// newTailCommand returns the command that shows events. It reads without a group, so it
// takes no partition from a service and moves no offsets.
func newTailCommand(a *app) *cobra.Command {
	var f tail
	c := &cobra.Command{
		Use:   "tail TOPIC",
		Short: "Show the events of a topic",
		Long: `Show the events of a topic, from the last ten of each partition unless --from names
another place. It joins no group and commits nothing. With --output json each line is a JSON
object: where the record is, and the CloudEvent in its JSON format as "event".

Where a schema registry is configured, data in Avro and Protobuf is shown as JSON, read by
the schema that the event names; with --output json it is "data" beside "event".`,
		Example: `  eventbus tail prod.sales.public.customers.v1 --follow
  eventbus tail prod.sales.public.customers.v1 --from 15m --type CustomerCreated --key c-17
  eventbus tail prod.sales.public.customers.v1 --from earliest --output json | jq .event.data
  eventbus tail prod.shop.public.orders.v1 --registry https://registry:8081`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.topicNames),
		RunE: a.action(func(ctx context.Context, args []string) error { return a.tail(ctx, args[0], &f) }),
	}
	flags := c.Flags()
	flags.StringVar(&f.from, "from", "", "`where` to begin: earliest, latest, a time (RFC 3339), a duration ago (15m), or an offset")
	flags.Int64Var(&f.last, "last", 10, "without --from, how many records of each partition")
	flags.StringSliceVar(&f.types, "type", nil, "only events of these `types`")
	flags.StringArrayVar(&f.keys, "key", nil, "only events of this `key`; may be repeated")
	flags.Int32SliceVar(&f.partitions, "partition", nil, "only these `partitions`")
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with what is published from now on")
	flags.BoolVar(&f.whole, "whole", false, "show all attributes and headers")
	flags.IntVar(&f.limit, "limit", 0, "stop after so many events")
	f.registry.flags(c)
	f.masking.flag(c)
	complete(c, "from", a.fixed("earliest", "latest", "15m", "1h", "24h"))
	return c
}

// tail prints the events that the flags choose, in the order of each partition.
func (a *app) tail(ctx context.Context, topic string, f *tail) error {
	start, offset, err := f.start(time.Now())
	if err != nil {
		return err
	}
	// Nil without a registry: then data is shown as it is.
	reader, err := f.registry.reader(a)
	if err != nil {
		return err
	}
	document, err := f.masking.document(ctx, a)
	if err != nil {
		return err
	}
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	// A mistyped name is an error rather than a topic without events.
	info, err := a.oneTopic(ctx, t, topic)
	if err != nil {
		return err
	}
	// A fresh slice, so DeleteFunc may work in place.
	partitions := grouplag.Partitions(info)
	if len(f.partitions) > 0 {
		partitions = slices.DeleteFunc(partitions, func(p transport.Partition) bool { return !slices.Contains(f.partitions, p.Partition) })
		// Partitions that don't exist are not in the list, so the count reveals them.
		if len(partitions) < len(f.partitions) {
			return misuse("--partition: topic %s has %s, numbered from 0", topic, counted(info.Partitions, "partition"))
		}
	}
	from, to, err := f.stretch(ctx, t, partitions, start, offset)
	if err != nil {
		return err
	}
	// Counts what is shown rather than what was read.
	shown := 0
	// The end was read above. Unless following, what is published later is not shown, so the
	// command ends on a busy topic too.
	err = scan.Each(ctx, t, from, to, func(r *transport.Record) error {
		// e is valid until this function returns, since the record's memory is reused.
		e := look(r, document)
		if !f.wants(e) {
			return nil
		}
		shown++
		// Only for what is shown, since reading may ask the registry for a schema.
		e.read(ctx, reader)
		e.mask(document)
		show := func(s *seen) error { return a.printEvent(s, f.whole) }
		if a.json() {
			show = a.printLine
		}
		if err := show(e); err != nil {
			return err
		}
		// A limit of 0 is never reached, since shown is at least 1 here.
		if shown == f.limit {
			return scan.ErrEnough
		}
		return nil
	})
	if f.follow && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // Ctrl-C is how following ends
	}
	return err
}

// start reads --from. It returns a place in the log and −1, or an offset of 0 or more, in
// which case the place must not be used.
func (f *tail) start(now time.Time) (transport.Start, int64, error) {
	switch f.from {
	case "":
		// The place is not used: stretch counts --last back from the end.
		return transport.Latest(), -1, nil
	case "earliest":
		return transport.Earliest(), -1, nil
	case "latest":
		return transport.Latest(), -1, nil
	}
	// Checked before durations, since 0 is both. A bare number is an offset.
	if offset, err := strconv.ParseInt(f.from, 10, 64); err == nil && offset >= 0 {
		return transport.Start{}, offset, nil
	}
	at, err := moment(f.from, now)
	if err != nil {
		return transport.Start{}, -1, misuse("--from %s: write earliest, latest, a time such as 2006-01-02T15:04:05Z, a duration such as 15m, or an offset", f.from)
	}
	return transport.At(at), -1, nil
}

// moment reads a time in RFC 3339, or a duration before now, in Go's format: a day is 24h.
func moment(s string, now time.Time) (time.Time, error) {
	// A negative duration would be in the future, where there are no events.
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Parse(time.RFC3339, s)
}

// stretch returns the offsets from which and up to which to read each partition. to is nil
// when following.
func (f *tail) stretch(ctx context.Context, t *kafka.Transport, partitions []transport.Partition, start transport.Start, offset int64) (from, to map[transport.Partition]int64, err error) {
	first, end, err := grouplag.Edges(ctx, t, partitions...)
	if err != nil {
		return nil, nil, err
	}
	// Cloned, since end is returned unchanged.
	from = maps.Clone(end)
	// From the end and without following, nothing is shown, as requested.
	switch {
	// One offset for all partitions, which --partition can restrict. The reader moves an
	// offset outside the log to its nearest end.
	case offset >= 0:
		for p := range from {
			from[p] = offset
		}
	case f.from == "":
		for p := range from {
			// Counted in offsets: compaction and transaction markers may leave fewer records.
			from[p] = max(first[p], end[p]-f.last)
		}
	default:
		if from, err = t.Admin().Offsets(ctx, start, partitions...); err != nil {
			return nil, nil, err
		}
	}
	if f.follow {
		end = nil
	}
	return from, end, nil
}

// wants reports whether the flags choose a record. A record that is not an event has no
// type, so it is shown only if no types are given.
func (f *tail) wants(s *seen) bool {
	if len(f.types) > 0 && (s.problem != nil || !slices.Contains(f.types, s.event.Type)) {
		return false
	}
	// A record without a key differs from one with an empty key.
	return len(f.keys) == 0 || s.event.Key != nil && slices.Contains(f.keys, string(s.event.Key))
}
