package view

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// apply writes one batch into the table.
func (f *follower) apply(ctx context.Context, b *transport.Batch) error {
	p := b.Partition.Partition
	if b.From != f.next[p] {
		// Retention may have removed tombstones in between, an unclean election may have
		// taken back what was applied.
		return errRebuild
	}
	f.changes = f.changes[:0]
	if f.latest == nil {
		f.latest = make(map[string]int)
	}
	clear(f.latest)
	for i := range b.Records {
		r := &b.Records[i]
		if r.Key == nil {
			continue // it is the last event of no key
		}
		// Of several changes of a key the last counts.
		at, again := f.latest[string(r.Key)]
		if !again {
			at = len(f.changes)
			f.latest[string(r.Key)] = at
			f.changes = append(f.changes, Change{})
		}
		f.changes[at] = Change{Key: r.Key, Record: f.recordOf(r)}
	}
	if f.compare {
		if err := f.older(ctx); err != nil {
			return err
		}
	}
	if err := f.table.Apply(ctx, p, f.changes, Mark{Next: b.Next, Time: time.Now()}); err != nil {
		return fmt.Errorf("the store: %w", err)
	}
	f.next[p] = b.Next
	f.state.applied(p, b, len(b.Records), f.live)
	if keys, bytes := f.table.Size(); bytes > f.config.MaxBytes {
		return &finalError{fmt.Errorf("%w: %d keys take %d bytes, and MaxBytes is %d: raise it, or give the view a Store", ErrOutgrown, keys, bytes, f.config.MaxBytes)}
	}
	return nil
}

// recordOf returns what the table keeps of a record, nil if the key is to go.
func (f *follower) recordOf(r *transport.Record) []byte {
	k := event
	switch typ, ok := f.form.Type(r); {
	case r.Excess != nil:
		k = faulty
	case r.Value == nil, ok && typ != f.typ:
		if !f.compare {
			return nil
		}
		k = deleted
	}
	return keep(r, k).encode()
}

// older takes out of the changes those that the table has a newer record for, of
// another partition.
func (f *follower) older(ctx context.Context) error {
	kept := f.changes[:0]
	for _, c := range f.changes {
		had, found, err := f.table.Get(ctx, c.Key)
		if err != nil {
			return fmt.Errorf("the store: %w", err)
		}
		if found {
			var old, fresh stored
			if err := errors.Join(old.decode(had), fresh.decode(c.Record)); err != nil {
				return err
			}
			if !fresh.replaces(&old) {
				continue
			}
		}
		if f.live && kind(c.Record[1]) == deleted {
			c.Record = nil // what is older has been read
		}
		kept = append(kept, c)
	}
	f.changes = kept
	return nil
}

// complete makes the table the live one once it has reached its target.
func (f *follower) complete(ctx context.Context) error {
	if f.live {
		return nil
	}
	for p, end := range f.target {
		if f.next[p] < end {
			return nil
		}
	}
	if err := f.dropDeleted(ctx); err != nil {
		return err
	}
	if err := f.config.Store.Promote(ctx, f.name); err != nil {
		return fmt.Errorf("the store: %w", err)
	}
	f.live, f.compare = true, false
	f.state.complete(f.table, f.next)
	return nil
}

// dropDeleted removes what stands for tombstones: every partition has been read.
func (f *follower) dropDeleted(ctx context.Context) error {
	var gone []Change
	if err := f.table.Range(ctx, func(key, record []byte) error {
		if len(record) > 1 && kind(record[1]) == deleted {
			gone = append(gone, Change{Key: append([]byte(nil), key...)})
		}
		return nil
	}); err != nil {
		return fmt.Errorf("the store: %w", err)
	}
	if len(gone) == 0 {
		return nil
	}
	// Of which partition does not matter: its mark stays what it is.
	for p, next := range f.next {
		if err := f.table.Apply(ctx, p, gone, Mark{Next: next, Time: time.Now()}); err != nil {
			return fmt.Errorf("the store: %w", err)
		}
		break
	}
	return nil
}
