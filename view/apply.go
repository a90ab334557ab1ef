package view

import (
	"context"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// apply writes one batch into the table.
func (f *follower) apply(ctx context.Context, b *transport.Batch) error {
	p := b.Partition.Partition
	if b.From != f.next[p] {
		// Retention may have removed tombstones in between, or an unclean election may have
		// taken back records that were applied.
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
			continue // without a key it has no place in the table
		}
		// Only the last change of a key counts.
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
	// Keys are borrowed from the batch; the records are copies that the table keeps.
	if err := f.table.Apply(ctx, p, f.changes, Mark{Next: b.Next, Time: time.Now()}); err != nil {
		return fmt.Errorf("the store: %w", err)
	}
	// Advance only once the table has the changes: after an error the batch is read again from
	// here.
	f.next[p] = b.Next
	f.state.applied(p, b, len(b.Records), f.live)
	// The bound is checked once per batch, so the table exceeds it by one batch at most.
	// Another attempt would end the same way, so the error is final.
	if keys, bytes := f.table.Size(); bytes > f.config.MaxBytes {
		return &finalError{fmt.Errorf("%w: %d keys take %d bytes, and MaxBytes is %d: raise it, or give the view a Store", ErrOutgrown, keys, bytes, f.config.MaxBytes)}
	}
	return nil
}

// recordOf returns the table's form of a record, or nil if its key must be removed.
func (f *follower) recordOf(r *transport.Record) []byte {
	k := event
	switch typ, ok := f.form.Type(r); {
	case r.Excess != nil:
		k = faulty
	// An event of another type is the key's last event too, so the view has none.
	case r.Value == nil, ok && typ != f.typ:
		// Nothing older can follow in another partition, so the key can be removed at once.
		if !f.compare {
			return nil
		}
		k = deleted
	}
	return keep(r, k).encode()
}

// older drops the changes of keys for which the table has a newer record from another
// partition.
func (f *follower) older(ctx context.Context) error {
	// recordOf returns no nil while compare is set, so every Record has its kind in its
	// second byte. kept shares the array of changes and never overtakes the loop.
	kept := f.changes[:0]
	for _, c := range f.changes {
		had, found, err := f.table.Get(ctx, c.Key)
		if err != nil {
			return fmt.Errorf("the store: %w", err)
		}
		if found {
			var old, fresh stored
			// Decode all of the Store's record, which may be damaged, but only the head of the
			// one encoded just now: that is all that is compared.
			if err := old.decode(had); err != nil {
				return err
			}
			if _, err := fresh.decodeHead(c.Record); err != nil {
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
	// Before Promote, so that a promoted table needs no further step. After an error both are
	// repeated.
	if err := f.dropDeleted(ctx); err != nil {
		return err
	}
	if err := f.config.Store.Promote(ctx, f.name); err != nil {
		return fmt.Errorf("the store: %w", err)
	}
	// Every partition has been read to its target, so none can bring an older event of a
	// key that the table has.
	f.live, f.compare = true, false
	f.state.complete(f.table, f.next)
	return nil
}

// dropDeleted removes the records that stand for tombstones. Every partition has been read by
// now.
func (f *follower) dropDeleted(ctx context.Context) error {
	// Collected first, so that one Apply takes them all. The keys are copied, since
	// Range only lends them.
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
	// Any partition will do: the offset in its mark stays the same.
	for p, next := range f.next {
		if err := f.table.Apply(ctx, p, gone, Mark{Next: next, Time: time.Now()}); err != nil {
			return fmt.Errorf("the store: %w", err)
		}
		break
	}
	return nil
}
