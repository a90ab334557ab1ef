//go:build unix

package outbox

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/postgres/internal/pgtest"
)

// TestBrokersDown: while the brokers are unreachable for longer than DeliveryTimeout
// and Lease, the outbox grows; afterwards all of it is sent.
func TestBrokersDown(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		t.Run(fmt.Sprint("unfenced=", unfenced), func(t *testing.T) {
			s := newSiege(t, dsn(t))
			r, _ := runRelay(t, quickBus(t, s.cluster, unfenced), s.pool, quickLease(s.table, unfenced))
			s.begin(t)
			s.more(t, 500)
			reconnect := s.cluster.Disconnect(t)
			eventually(t, "health says so", func() bool { return r.Health(context.Background()) != nil })
			wait(t.Context(), outage(t)) // nothing signals that the outage has lasted long enough
			_, before := leader(t, s.pool, s.table)
			reconnect()
			s.more(t, 500)
			found := s.end(t)
			t.Logf("%d events waited through %v without brokers", int64(found.committed)-before, outage(t))
			eventually(t, "the relay is well", func() bool { return r.Health(context.Background()) == nil })
		})
	}
}

// TestRelaysKilled: of three relay processes, the leader is repeatedly killed, at any
// point of its work, and another started.
func TestRelaysKilled(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		t.Run(fmt.Sprint("unfenced=", unfenced), func(t *testing.T) {
			s := newSiege(t, dsn(t))
			p := s.process(unfenced)
			relays := []*exec.Cmd{p.start(t), p.start(t), p.start(t)}
			s.begin(t)
			const kills = 4
			for range kills {
				s.more(t, 300)
				at, one := s.leading(t, relays, 0)
				killProcess(one)
				relays[at] = p.start(t)
			}
			s.more(t, 300)
			found := s.end(t)
			if most := kills * quickBatch; found.repeated > most {
				t.Errorf("%d events repeated by %d kills with batches of %d", found.repeated, kills, quickBatch)
			}
		})
	}
}

// leading waits until one of relays leads, other than the process with id other.
func (s *siege) leading(t *testing.T, relays []*exec.Cmd, other int) (at int, found *exec.Cmd) {
	t.Helper()
	eventually(t, "one of the relays leads", func() bool {
		pid, _ := leader(t, s.pool, s.table)
		at, found = pick(relays, pid)
		return found != nil && pid != other
	})
	return at, found
}

// TestFrozenLeader: the leader's process is frozen for longer than its lease, at any
// point of its work, and thaws beside its successor.
func TestFrozenLeader(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		t.Run(fmt.Sprint("unfenced=", unfenced), func(t *testing.T) {
			s := newSiege(t, dsn(t))
			p := s.process(unfenced)
			relays := []*exec.Cmd{p.start(t), p.start(t)}
			s.begin(t)
			const freezes = 3
			for range freezes {
				s.more(t, 300)
				_, old := s.leading(t, relays, 0)
				signalProcess(t, old, syscall.SIGSTOP)
				s.leading(t, relays, old.Process.Pid)
				s.more(t, 300)
				signalProcess(t, old, syscall.SIGCONT)
			}
			s.more(t, 300)
			found := s.end(t)
			if most := freezes * 2 * quickBatch; found.repeated > most {
				t.Errorf("%d events repeated by %d freezes with batches of %d", found.repeated, freezes, quickBatch)
			}
		})
	}
}

// TestFrozenBackends: the server processes of relays and writers are frozen, some of
// them while holding locks, and thaw again.
func TestFrozenBackends(t *testing.T) {
	server := pgtest.Start(t)
	s := newSiege(t, server.URL)
	p := s.process(false)
	p.start(t)
	p.start(t)
	s.begin(t)
	for range 3 {
		s.more(t, 300)
		server.Control(t, "pause-backends")
		wait(t.Context(), 4*time.Second) // nothing signals that a lease has expired in a frozen database
		server.Control(t, "resume-backends")
	}
	s.more(t, 300)
	s.end(t)
}

// TestFrozenConnection: the server processes of one relay stay frozen, while the
// server answers others. The relay goes on with new connections.
func TestFrozenConnection(t *testing.T) {
	server := pgtest.Start(t)
	s := newScene(t, server.URL)
	pool := openPool(t, server.URL+"&application_name=frozen", 5)
	r, _ := runRelay(t, s.bus, pool, quickLease(s.table, false))
	s.write(t, 20)
	s.check(t)
	rows, err := s.pool.Query(t.Context(), `SELECT pid FROM pg_stat_activity WHERE application_name = 'frozen'`)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var frozen []int
	for rows.Next() {
		if err := rows.Scan(&pid); err != nil {
			t.Fatal(err)
		}
		frozen = append(frozen, pid)
	}
	thaw := func() {
		for _, pid := range frozen {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	t.Cleanup(thaw)
	for _, pid := range frozen {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Skipf("the server's processes are another user's: %v", err)
		}
	}
	s.write(t, 20)
	s.check(t)
	eventually(t, "the relay is well", func() bool { return r.Health(context.Background()) == nil })
}

// TestImmediateRestarts: the server crashes while 100 writers and two relay processes
// work.
func TestImmediateRestarts(t *testing.T) {
	server := pgtest.Start(t)
	s := newSiege(t, server.URL)
	p := s.process(false)
	p.start(t)
	p.start(t)
	s.begin(t)
	for range 3 {
		s.more(t, 300)
		server.Control(t, "restart", "immediate")
		eventually(t, "the server answers", func() bool { return s.pool.Ping(context.Background()) == nil })
	}
	s.more(t, 300)
	s.end(t)
}

// TestCrashRecovery: one backend is killed, as when memory runs out, so the server
// restarts the others. Its start time stays the same, and transaction ids that were
// not in the log are given again. A pool hides this from a relay whose cursor is ahead
// of them.
func TestCrashRecovery(t *testing.T) {
	server := pgtest.Start(t, "PG_OPTIONS=-c wal_writer_delay=10s")
	s := newScene(t, server.URL)
	r, err := NewRelay(s.bus, s.pool, Config{Table: s.table, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	l, c, err := r.acquire(t.Context())
	if err == nil {
		c, err = r.open(t.Context(), &l, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	relaxed := openPool(t, server.URL+"&synchronous_commit=off", 1)
	var ahead cursor
	var pid, before, after int
	// Pages of the log are written when they are full. The last page must contain many
	// records, and must not become full. A server that is slow has written it all the same,
	// by the time.
	for n, many := 0, false; n < 100 || !many; n++ {
		mustExec(t, relaxed, `INSERT INTO `+s.table.Schema+`.audit VALUES (1)`)
		if n < 100 {
			continue
		}
		if _, ahead, err = r.next(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := relaxed.QueryRow(t.Context(), `SELECT pg_backend_pid(), pg_snapshot_xmax(pg_current_snapshot())::text::int,
			pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') % 8192 BETWEEN 4000 AND 7000 AND
			pg_wal_lsn_diff(pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()) > 3000`).Scan(&pid, &before, &many); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Skipf("the server's processes are another user's: %v", err)
	}
	eventually(t, "the server has recovered, and taken back transactions", func() bool {
		err := s.pool.QueryRow(context.Background(), `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int`).Scan(&after)
		return err == nil && after < before
	})
	s.write(t, 20)
	if rows, _, err := r.next(t.Context(), ahead); !errors.Is(err, errAnotherRun) {
		t.Errorf("%d rows behind the cursor of before the crash, %v", len(rows), err)
	}
	if err := errors.Join(r.renew(t.Context(), &l), r.advance(t.Context(), &l, ahead, nil, 0, nil)); !errors.Is(err, errNotLeading) {
		t.Errorf("the lease and the cursor of before the crash: %v", err)
	}
	if err := r.release(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	s.check(t)
}

// TestPgBouncerSiege: writers and relay processes work behind PgBouncer in transaction
// mode, where each transaction may have another session; the leader is killed and
// frozen.
func TestPgBouncerSiege(t *testing.T) {
	server := pgtest.Start(t)
	s := newSiege(t, server.Bouncer(t)+"&default_query_exec_mode=exec")
	p := s.process(false)
	relays := []*exec.Cmd{p.start(t), p.start(t)}
	s.begin(t)
	s.more(t, 300)
	at, one := s.leading(t, relays, 0)
	killProcess(one)
	relays[at] = p.start(t)
	s.more(t, 300)
	_, old := s.leading(t, relays, 0)
	signalProcess(t, old, syscall.SIGSTOP)
	s.leading(t, relays, old.Process.Pid)
	s.more(t, 300)
	signalProcess(t, old, syscall.SIGCONT)
	s.more(t, 300)
	s.end(t)
}

// TestDumpRestore: a relay dies in the middle of a backlog, and the database is
// restored from pg_dump into a fresh cluster, where the stored transaction ids are in
// the future. Events written there before a relay runs are sent too.
func TestDumpRestore(t *testing.T) {
	old := pgtest.Start(t)
	s := newSiege(t, old.URL)
	p := s.process(false)
	relay := p.start(t)
	s.begin(t)
	s.more(t, 1000)
	killProcess(relay)
	_, published := leader(t, s.pool, s.table)
	eventually(t, "a backlog", func() bool { return s.writers.done.Load() > published+5*quickBatch })
	s.stop()
	<-s.over
	resolvePrepared(t, s.pool)
	// The relay is killed within the backlog, while its window is being walked.
	relay = p.start(t)
	s.more(t, quickBatch)
	killProcess(relay)
	pending := s.pending(t)
	file := filepath.Join(t.TempDir(), "dump")
	old.Dump(t, file)
	fresh := pgtest.Start(t)
	fresh.Control(t, "restore", file)

	s.pool = openPool(t, fresh.URL, 110)
	s.address, s.writers.pool, s.over = fresh.URL, s.pool, make(chan struct{})
	before := s.writers.done.Load()
	s.begin(t)
	eventually(t, "writers wrote before the relay", func() bool { return s.writers.done.Load() > before+200 })
	s.process(false).start(t)
	s.more(t, 300)
	found := s.end(t)
	t.Logf("%d events were pending in the dump", pending)
	if pending == 0 {
		t.Error("the dump holds no pending events")
	}
	if found.repeated > 2*quickBatch {
		t.Errorf("%d events repeated by two kills and a restore, with batches of %d", found.repeated, quickBatch)
	}
}

func (s *siege) pending(t testing.TB) int64 {
	t.Helper()
	status, err := ReadStatus(context.Background(), s.pool, s.table)
	if err != nil {
		t.Fatal(err)
	}
	return status.Own("default").Pending
}
