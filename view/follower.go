package view

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// follower reads a topic into tables. Its fields belong to run's goroutine, except for state,
// which is safe for concurrent use.
type follower struct {
	source eventbus.Source
	topic  string
	form   *wire.Form // of the topic's records; nil for CloudEvents
	typ    string     // of the view's events
	config Config
	state  *state

	// table is the one being filled, and name its name; live reports whether it is also the
	// one that serves.
	table Table
	name  string
	live  bool
	// id is the topic's id, partitions its number of partitions.
	id         transport.TopicID
	partitions int32
	// next is how far table is in each partition, and target what it must reach before
	// it is complete.
	next, target map[int32]int64
	// compare reports whether a key may be in two partitions: while a table is being read,
	// and after partitions were added.
	compare bool
	// changes and latest are reused for each batch.
	changes []Change
	latest  map[string]int
}

// The reasons to start over.
var (
	// errRebuild means that the log that the table was read from no longer exists.
	errRebuild = errors.New("the topic was created again, or its log was truncated or cut off before the table's end")
	// errReopen means that the topic has partitions that the reader does not read.
	errReopen = errors.New("partitions were added")
)

// leastWait and mostWait bound the time before a topic that can't be read is tried
// again.
const (
	leastWait = 100 * time.Millisecond
	mostWait  = 10 * time.Second
)

// run follows the topic until ctx ends or the view has failed for good.
func (f *follower) run(ctx context.Context) {
	wait := leastWait
	for ctx.Err() == nil {
		err := f.follow(ctx)
		switch {
		// The view was closed: the error is only that of the call that this interrupted.
		case ctx.Err() != nil:
			return
		case errors.Is(err, errRebuild):
			f.config.Logger.Warn("a view is read again from the start of its topic", "topic", f.topic, "reason", err.Error())
			// mayResume is false from here on, so that choose makes a new table. The live one
			// goes on serving until the new one is complete.
			f.state.rebuild()
			f.table = nil
			continue
		// The table stays; only the reader must be replaced.
		case errors.Is(err, errReopen):
			continue
		}
		if failed, ok := errors.AsType[*finalError](err); ok {
			f.state.fail(failed.error, true)
			f.config.Logger.Error("a view has failed", "topic", f.topic, "error", failed.error)
			return
		}
		// A cluster that is away is logged once, not at each attempt.
		if f.state.fail(err, false) {
			f.config.Logger.Warn("a view can't follow its topic", "topic", f.topic, "error", err)
			wait = leastWait // it followed until now
		} else {
			wait = min(2*wait, mostWait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// finalError is an error that a retry can't fix.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// follow chooses a table, if there is none, and reads until something changes.
func (f *follower) follow(ctx context.Context) error {
	info, err := f.describe(ctx)
	if errors.Is(err, eventbus.ErrTopicMissing) {
		if err = f.source.Provision(ctx); err == nil {
			info, err = f.describe(ctx)
		} else if errors.Is(err, eventbus.ErrTopicMissing) && f.state.mayResume() {
			return &finalError{err} // the bus may not create it; only a topic that existed before may come back
		}
	}
	if err != nil {
		return err
	}
	// The topic was created again under the same name: the table's offsets mean nothing in
	// it.
	if f.table != nil && info.ID != f.id {
		return errRebuild
	}
	f.id = info.ID
	if f.table == nil {
		err = f.choose(ctx, info)
	} else if info.Partitions > f.partitions {
		// A key moves when partitions are added: its event in the old partition may be
		// read after a newer one in the new partition.
		f.compare = true
	}
	if err != nil {
		return err
	}
	// Set only now: the comparison above needs the number that was read so far.
	f.partitions = info.Partitions
	from, err := f.begin(ctx)
	if err != nil {
		return err
	}
	reader, err := f.source.Transport.NewReader(transport.ReaderConfig{From: from, FetchBytes: f.config.FetchBytes, Logger: f.config.Logger})
	if err != nil {
		return err
	}
	defer func() {
		// ctx may have ended already, and closing takes time of its own.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = reader.Close(closing)
	}()
	if err := f.complete(ctx); err != nil { // an empty topic has nothing to wait for
		return err
	}
	f.state.well()
	return f.read(ctx, reader)
}

// describe asks the cluster about the topic. It returns an error if the topic is not
// compacted, because retention would remove keys.
func (f *follower) describe(ctx context.Context) (*transport.TopicInfo, error) {
	infos, err := f.source.Transport.Admin().Topics(ctx, f.topic)
	if err != nil {
		return nil, err
	}
	info := &infos[0]
	if info.Err != nil {
		return nil, info.Err
	}
	// The cluster may not report the policy; then it can't be checked.
	if policy, ok := info.Configs["cleanup.policy"]; ok && !strings.Contains(policy, "compact") {
		return nil, &finalError{fmt.Errorf("the topic has cleanup.policy=%s on the cluster, and a view needs compact: set it, as eventbus topics diff proposes", policy)}
	}
	return info, nil
}

// choose uses the Store's current table if it belongs to this topic and is not too old, and
// otherwise creates a new one.
func (f *follower) choose(ctx context.Context, info *transport.TopicInfo) error {
	f.compare, f.live = true, false
	// The id distinguishes this topic's tables from those of a deleted topic with the same
	// name.
	prefix := hex.EncodeToString(info.ID[:])
	table, name, err := f.config.Store.Current(ctx)
	if err != nil {
		return fmt.Errorf("the store's current table: %w", err)
	}
	if table != nil && strings.HasPrefix(name, prefix) && f.state.mayResume() {
		marks, err := table.Marks(ctx)
		if err != nil {
			return fmt.Errorf("the store's marks: %w", err)
		}
		if next, ok := f.usable(marks); ok {
			f.table, f.name, f.next = table, name, next
			return nil
		}
	}
	// The time makes the name differ from that of the table that still serves.
	f.name = prefix + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if f.table, err = f.config.Store.Create(ctx, f.name); err != nil {
		return fmt.Errorf("a new table: %w", err)
	}
	f.next = make(map[int32]int64)
	return nil
}

// usable returns the positions of marks, and whether all are young enough.
func (f *follower) usable(marks map[int32]Mark) (map[int32]int64, bool) {
	next := make(map[int32]int64, len(marks))
	for p, m := range marks {
		if time.Since(m.Time) > f.config.MaxAge {
			return nil, false
		}
		next[p] = m.Next
	}
	// A table without marks was never written, so a new one costs no more.
	return next, len(next) > 0
}

// begin returns where to read each partition from, and sets the target of a table
// that is not complete.
func (f *follower) begin(ctx context.Context) (map[transport.Partition]int64, error) {
	all := f.all()
	starts, err := f.source.Transport.Admin().Offsets(ctx, transport.Earliest(), all...)
	if err != nil {
		return nil, err
	}
	ends, err := f.source.Transport.Admin().Offsets(ctx, transport.Latest(), all...)
	if err != nil {
		return nil, err
	}
	from := make(map[transport.Partition]int64, len(all))
	for _, p := range all {
		next, ok := f.next[p.Partition]
		if !ok {
			// A new table, or a partition that was added since.
			next = starts[p]
			f.next[p.Partition] = next
		}
		// Before the start: tombstones may have been removed that the table never saw.
		// Beyond the end: the log was truncated, and other records will take these offsets.
		if next < starts[p] || next > ends[p] {
			return nil, errRebuild
		}
		from[p] = next
	}
	if !f.live {
		// Start does not wait for events that are published from here on: on a busy topic it
		// would never return.
		f.target = make(map[int32]int64, len(all))
		for p, end := range ends {
			f.target[p.Partition] = end
		}
	}
	f.state.began(f.table, f.next, ends)
	return from, nil
}

// read applies the reader's batches, and checks the topic every RefreshInterval.
func (f *follower) read(ctx context.Context, reader transport.Reader) error {
	look := time.Now().Add(f.config.RefreshInterval)
	for {
		if !time.Now().Before(look) {
			if err := f.look(ctx); err != nil {
				return err
			}
			look = time.Now().Add(f.config.RefreshInterval)
		}
		// On a quiet topic, too, Poll must end in time for the next check.
		polling, cancel := context.WithDeadline(ctx, look)
		batches, err := reader.Poll(polling)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			continue // it is time to look
		}
		if err != nil {
			return err
		}
		for i := range batches {
			if err == nil {
				err = f.apply(ctx, &batches[i])
			}
			// Release after an error too: the records' memory is borrowed.
			if release := batches[i].Release; release != nil {
				release()
			}
		}
		if err == nil {
			err = f.complete(ctx)
		}
		if err != nil {
			return err
		}
		f.state.well()
	}
}

// look checks that the topic is still the one that is being read, and that all its partitions
// are.
func (f *follower) look(ctx context.Context) error {
	info, err := f.describe(ctx)
	switch {
	case err != nil:
		return err
	case info.ID != f.id:
		return errRebuild
	case info.Partitions > f.partitions:
		return errReopen
	}
	ends, err := f.source.Transport.Admin().Offsets(ctx, transport.Latest(), f.all()...)
	if err != nil {
		return err
	}
	for p, end := range ends {
		if end < f.next[p.Partition] {
			return errRebuild // an unclean election took back what was applied
		}
	}
	return nil
}

// all returns the topic's partitions.
func (f *follower) all() []transport.Partition {
	all := make([]transport.Partition, f.partitions)
	for i := range all {
		all[i] = transport.Partition{Topic: f.topic, Partition: int32(i)} //nolint:gosec // a partition's number
	}
	return all
}
