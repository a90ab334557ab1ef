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
	// Keys are borrowed from the batch; the records are copies that the table keeps.
	if err := f.table.Apply(ctx, p, f.changes, Mark{Next: b.Next, Time: time.Now()}); err != nil {
		return fmt.Errorf("the store: %w", err)
	}
	// Only after the table has them: after an error the batch is read again from here.
	f.next[p] = b.Next
	f.state.applied(p, b, len(b.Records), f.live)
	// The bound is checked once per batch, so the table exceeds it by one batch at most.
	// Another attempt would end the same way, so the error is final.
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
	// An event of another type is the key's last one too: none of this view's is left.
	case r.Value == nil, ok && typ != f.typ:
		// Nothing older can follow in another partition, so the key may go at once.
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
			// All of what the Store had, which may be damaged; of what was encoded just now, as
			// much as is compared.
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
	// Before Promote: what it makes durable must not depend on a further step. After an
	// error all of it is repeated.
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

// dropDeleted removes what stands for tombstones: every partition has been read.
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
	// Of which partition does not matter: its mark stays what it is.
	for p, next := range f.next {
		if err := f.table.Apply(ctx, p, gone, Mark{Next: next, Time: time.Now()}); err != nil {
			return fmt.Errorf("the store: %w", err)
		}
		break
	}
	return nil
}
