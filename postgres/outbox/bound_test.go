package outbox

import (
	"context"
	"errors"
	"testing"
	"time"
)

// left returns how much of the lease is left, by the database's clock.
func (s *scene) left(t *testing.T, r *Relay) time.Duration {
	t.Helper()
	var left float64
	if err := s.pool.QueryRow(t.Context(), r.names.sql(`SELECT extract(epoch FROM expires_at - clock_timestamp())::float8 FROM {relay}`)).Scan(&left); err != nil {
		t.Fatal(err)
	}
	return time.Duration(left * float64(time.Second))
}

// TestRenewedByWhatIsLeft: a chore that begins late in a lease renews it at once. The
// test would time out if it waited for a third of the lease.
func TestRenewedByWhatIsLeft(t *testing.T) {
	s := newScene(t, dsn(t))
	r, l, _ := s.newLeader(t, Config{Lease: 10 * time.Minute})
	mustExec(t, s.pool, r.names.sql(`UPDATE {relay} SET expires_at = clock_timestamp() + interval '1 minute'`))
	l.until = time.Now().Add(time.Minute)
	err := r.chore(t.Context(), &l, func(context.Context) error {
		eventually(t, "the lease is renewed", func() bool { return s.left(t, r) > 5*time.Minute })
		return nil
	})
	if err != nil || time.Until(l.until) < 5*time.Minute {
		t.Errorf("%v left, %v", time.Until(l.until), err)
	}
}

// TestLongChore: a chore that takes longer than the lease finishes.
func TestLongChore(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	s := newScene(t, dsn(t))
	r, l, _ := s.newLeader(t, Config{Lease: 3 * time.Second})
	err := r.chore(t.Context(), &l, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `SELECT pg_sleep(6)`)
		return err
	})
	if err != nil || !l.covers(0) {
		t.Errorf("%v left, %v", time.Until(l.until), err)
	}
}

// TestFailedRenewal: a failed renewal cuts nothing off while the lease lasts, and is
// retried.
func TestFailedRenewal(t *testing.T) {
	s := newScene(t, dsn(t))
	r, l, _ := s.newLeader(t, Config{Lease: 10 * time.Minute})
	l.until = time.Now().Add(time.Minute)
	held, err := s.pool.Begin(t.Context())
	if err == nil {
		_, err = held.Exec(t.Context(), r.names.sql(`UPDATE {relay} SET expires_at = clock_timestamp() + interval '1 minute'`))
	}
	if err != nil {
		t.Fatal(err)
	}
	err = r.sending(t.Context(), &l, func(ctx context.Context) error {
		eventually(t, "the renewal waits, and is ended", func() (ended bool) {
			err := s.pool.QueryRow(ctx, `SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1`, "UPDATE "+r.names.relay+"%").Scan(&ended)
			return err == nil && ended
		})
		if err := held.Commit(t.Context()); err != nil {
			return err
		}
		eventually(t, "it is tried again", func() bool { return s.left(t, r) > 5*time.Minute })
		return ctx.Err()
	})
	if err != nil {
		t.Errorf("a failed renewal cut a batch off: %v", err)
	}
}

// TestUnfencedBatchIsNotCutOff: the lease is not renewed while an unfenced batch is
// sent, so a lost lease does not cut the batch off.
func TestUnfencedBatchIsNotCutOff(t *testing.T) {
	s := newScene(t, dsn(t))
	r, l, _ := s.newLeader(t, Config{Unfenced: true})
	mustExec(t, s.pool, r.names.sql(`UPDATE {relay} SET epoch = epoch + 1`))
	l.until = time.Now() // a renewal is due
	err := r.sending(t.Context(), &l, func(ctx context.Context) error {
		wait(ctx, 500*time.Millisecond) // nothing signals that there is no renewal
		return ctx.Err()
	})
	if err != nil {
		t.Errorf("a renewal that failed cut a batch off: %v", err)
	}
}

// TestKafkaIsNamed: if a batch fails while the lease is being renewed, the error is
// that of the batch, unless another process leads.
func TestKafkaIsNamed(t *testing.T) {
	s := newScene(t, dsn(t))
	r, l, _ := s.newLeader(t, Config{Lease: 10 * time.Minute})
	l.until = time.Now().Add(time.Minute) // a renewal is due
	held, err := s.pool.Begin(t.Context())
	if err == nil {
		_, err = held.Exec(t.Context(), r.names.sql(`UPDATE {relay} SET epoch = epoch + 1`))
	}
	if err != nil {
		t.Fatal(err)
	}
	kafka := errors.New("kafka is away")
	ctx, cancel := context.WithCancel(t.Context())
	err = r.keeping(ctx, &l, func(ctx context.Context) error {
		eventually(t, "the renewal waits", func() (waits bool) {
			err := s.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1)`, "UPDATE "+r.names.relay+"%").Scan(&waits)
			return err == nil && waits
		})
		cancel()
		<-ctx.Done()
		return kafka
	})
	if !errors.Is(err, kafka) {
		t.Errorf("the batch's error is %v", err)
	}
	if err := held.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.keeping(t.Context(), &l, func(ctx context.Context) error { <-ctx.Done(); return kafka }); !errors.Is(err, errNotLeading) {
		t.Errorf("where another process leads: %v", err)
	}
}

// TestReleaseOfAnother: release does not end another holder's lease with the same
// epoch.
func TestReleaseOfAnother(t *testing.T) {
	s := newScene(t, dsn(t))
	r, l, _ := s.newLeader(t, Config{})
	mustExec(t, s.pool, r.names.sql(`UPDATE {relay} SET holder = 'another'`))
	if err := r.release(t.Context(), l); err != nil || s.left(t, r) < time.Second {
		t.Errorf("%v are left of another's lease, %v", s.left(t, r), err)
	}
}
