package outbox

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus"
	"github.com/jackc/pgx/v5"
)

// parkedRow is a row that is not sent with its batch: Kafka refused it, with fault,
// or it follows one of its key that was refused.
type parkedRow struct {
	id    int64
	fault *string
}

// maxFault bounds the text of an error that is stored, in bytes.
const maxFault = 1000

// faultText returns the text of an error as PostgreSQL can store it, whatever the encoding
// of the database: bounded, in ASCII, without zero bytes.
func faultText(err error) *string {
	var b strings.Builder
	for _, r := range err.Error() {
		if b.Len() >= maxFault {
			b.WriteString("...")
			break
		}
		switch {
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case r >= utf8.RuneSelf:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r != 0:
			b.WriteRune(r)
		}
	}
	text := b.String()
	return &text
}

// loadParked reads which keys are parked. An operator may have removed rows since
// the last time.
func (r *Relay) loadParked(ctx context.Context, l *lease) error {
	// A new map replaces the old one, so that keys that are no longer parked are gone.
	keys := make(map[string]struct{})
	err := r.chore(ctx, l, func(ctx context.Context) error {
		results, err := r.query(ctx, l.run, r.names.sql(`SELECT DISTINCT topic, key FROM {parked} WHERE relay = $1 AND key IS NOT NULL`), r.config.Name)
		if err != nil {
			return err
		}
		defer results.Close()
		found, err := results.Query()
		if err != nil {
			return err
		}
		var x row
		_, err = pgx.ForEachRow(found, []any{&x.topic, &x.key}, func() error {
			// keyID copies the key, which the next row overwrites.
			id, _ := x.keyID()
			keys[id] = struct{}{}
			return nil
		})
		return err
	})
	if err == nil {
		r.parked = keys
	}
	return err
}

// sort divides rows into those to send and those that follow a parked one of their
// key, or that can't be read. send[i] is the row of envelopes[i]. Once a row of a key
// is parked, so is every later row of the key, in this batch and in later ones.
func (r *Relay) sort(rows []row) (send []row, envelopes []*eventbus.Envelope, parked []parkedRow) {
	for _, x := range rows {
		key, keyed := x.keyID()
		if _, waits := r.parked[key]; waits && keyed {
			parked = append(parked, parkedRow{id: x.id})
			continue
		}
		e, err := x.envelope()
		if err != nil {
			parked = append(parked, r.park(&x, err))
			continue
		}
		send, envelopes = append(send, x), append(envelopes, e)
	}
	return send, envelopes, parked
}

// park notes that a row was refused, so that later rows of its key wait behind it.
func (r *Relay) park(x *row, cause error) parkedRow {
	// The map is updated at once, for the rest of this batch. The table gets the row
	// together with the cursor.
	if key, keyed := x.keyID(); keyed {
		r.parked[key] = struct{}{}
	}
	r.config.Logger.Warn("an event was refused and its key waits", "topic", x.topic, "event_id", x.eventID, "error", cause)
	return parkedRow{id: x.id, fault: faultText(cause)}
}

// retryParked retries parked keys that are due, or whose first event an operator
// skipped. A key continues where it stopped, in order.
func (r *Relay) retryParked(ctx context.Context, l *lease) error {
	var due []row
	if err := r.chore(ctx, l, func(ctx context.Context) error {
		// One result for each key, and for each event without a key. A key's smallest
		// next_at is infinity if its first event was dropped: those that followed have
		// no time of their own yet. The limit keeps parked keys from holding up new
		// events for long.
		results, err := r.query(ctx, l.run, r.names.sql(`
			SELECT topic, key, CASE WHEN key IS NULL THEN id ELSE 0 END AS one FROM {parked} WHERE relay = $1
			GROUP BY 1, 2, 3 HAVING min(next_at) <= clock_timestamp() OR min(next_at) = 'infinity' ORDER BY min(id) LIMIT 100`), r.config.Name)
		if err != nil {
			return err
		}
		defer results.Close()
		found, err := results.Query()
		if err != nil {
			return err
		}
		due, err = pgx.CollectRows(found, func(found pgx.CollectableRow) (x row, err error) {
			err = found.Scan(&x.topic, &x.key, &x.id)
			return x, err
		})
		return err
	}); err != nil {
		return err
	}
	// If a topic is still refused, only one of its events is tried: each try takes a
	// transaction, and new events of other topics wait meanwhile.
	gone := make(map[string]bool)
	for _, x := range due {
		if gone[x.topic] {
			continue
		}
		refusal, err := r.retryKey(ctx, l, x)
		if err == nil && ofTopic(refusal) {
			gone[x.topic] = true
			err = r.postpone(ctx, l, x.topic)
		}
		if err != nil {
			return err
		}
	}
	// Keys that have been sent completely are no longer parked.
	if len(due) > 0 {
		return r.loadParked(ctx, l)
	}
	return nil
}

// postpone makes the parked events of a topic wait for RetryInterval.
func (r *Relay) postpone(ctx context.Context, l *lease, topic string) error {
	return r.chore(ctx, l, func(ctx context.Context) error {
		_, err := r.pool.Exec(ctx, r.names.sql(`UPDATE {parked} SET next_at = clock_timestamp() + $5::float8 * interval '1 second'
			WHERE relay = $1 AND topic = $4 AND next_at <= clock_timestamp()`+own), r.config.Name, l.run, l.epoch, topic, r.config.RetryInterval.Seconds())
		return err
	})
}

// retryKey sends the parked rows of one key, or the row of one event without a key.
// refusal says why it did not send all of them. of has the topic and the key, and an
// id only for an event without a key.
func (r *Relay) retryKey(ctx context.Context, l *lease, of row) (refusal, err error) {
	var rows []row
	if err := r.chore(ctx, l, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		results, err := r.query(ctx, l.run, r.names.sql(`SELECT `+columns+` FROM {parked}
			WHERE relay = $1 AND topic = $2 AND key IS NOT DISTINCT FROM $3 AND ($4 = 0 OR id = $4) ORDER BY id LIMIT $5`),
			r.config.Name, of.topic, of.key, of.id, r.config.Batch)
		if err != nil {
			return err
		}
		defer results.Close()
		found, err := results.Query()
		if err != nil {
			return err
		}
		// Rows beyond the bounds of a batch wait for the next attempt.
		rows, _, err = collect(found, cancel)
		return err
	}); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, nil // an operator has skipped them meanwhile
	}
	var envelopes []*eventbus.Envelope
	for i := range rows {
		e, err := rows[i].envelope()
		if err != nil {
			// Rows behind an unreadable one stay, to keep the order.
			refusal = err
			break
		}
		envelopes = append(envelopes, e)
	}
	// The first event is sent alone: nothing behind a refused event may be under way.
	// Mostly it is refused again, and then the others need not be tried.
	sent := 0
	if len(envelopes) > 0 {
		refusals, err := r.deliver(ctx, l, envelopes[:1])
		if err != nil {
			return nil, err
		}
		if refusals[0] != nil {
			refusal, envelopes = refusals[0], nil
		} else {
			sent, envelopes = 1, envelopes[1:]
		}
	}
	if len(envelopes) > 0 {
		refusals, err := r.deliver(ctx, l, envelopes)
		if err != nil {
			return nil, err
		}
		// The first refusal counts. The events behind it stay parked, and are sent
		// again later even if they were sent without a transaction.
		n := len(envelopes)
		for i, cause := range refusals {
			if cause != nil && i < n {
				n, refusal = i, cause
			}
		}
		sent += n
	}
	return refusal, r.settleParked(ctx, l, rows, sent, refusal)
}

// own is a further condition: the run is $2 and the epoch $3. So neither a leader that
// was replaced nor one whose cursor was refused writes anything.
const own = ` AND EXISTS (SELECT FROM {relay} WHERE name = $1 AND epoch = $3) AND ` + sameRun

// settleParked deletes the rows that were sent, and stores why the next one was not.
func (r *Relay) settleParked(ctx context.Context, l *lease, rows []row, sent int, refusal error) error {
	var b pgx.Batch
	// Rows are sent in order, so the first ones are those that were sent.
	ids := make([]int64, sent)
	for i := range ids {
		ids[i] = rows[i].id
	}
	b.Queue(r.names.sql(`UPDATE {relay} SET published = published + $4 WHERE name = $1 AND epoch = $3 AND `+sameRun), r.config.Name, l.run, l.epoch, sent)
	b.Queue(r.names.sql(`DELETE FROM {parked} WHERE relay = $1 AND id = ANY($4)`+own), r.config.Name, l.run, l.epoch, ids)
	if refusal != nil && sent < len(rows) {
		b.Queue(r.names.sql(`UPDATE {parked} SET error = $5, attempts = attempts + 1, next_at = clock_timestamp() + $6::float8 * interval '1 second'
			WHERE relay = $1 AND id = $4`+own), r.config.Name, l.run, l.epoch, rows[sent].id, faultText(refusal), r.config.RetryInterval.Seconds())
	}
	if err := r.chore(ctx, l, func(ctx context.Context) error { return r.pool.SendBatch(ctx, &b).Close() }); err != nil {
		return fmt.Errorf("parked key of %s: %w", rows[0].topic, err)
	}
	return nil
}
