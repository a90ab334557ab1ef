package outbox

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestNotify: a relay that polls once an hour sends at once what another process
// commits, even after the server has closed the connection on which it listens.
func TestNotify(t *testing.T) {
	s := newScene(t, dsn(t))
	n, _ := s.table.names()
	runRelay(t, s.bus, s.pool, Config{Table: s.table, PollInterval: time.Hour, Listen: true})
	notifier, err := NewNotifier(s.pool, s.table)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(notifier.Close)
	sent := func() int64 {
		var sent int64
		if err := s.pool.QueryRow(t.Context(), n.sql(`SELECT published FROM {relay}`)).Scan(&sent); err != nil {
			t.Fatal(err)
		}
		return sent
	}
	// listens returns the process id of the listening connection, other than ended:
	// the relay may already listen again.
	listens := func(ended int) (pid int) {
		if err := s.pool.QueryRow(t.Context(), `SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE query = $1 AND pid <> $2`, `LISTEN "`+n.channel()+`"`, ended).Scan(&pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	ended, listener := 0, 0
	for round := range int64(3) {
		eventually(t, "the relay listens", func() bool { listener = listens(ended); return listener != 0 })
		inTx(t, s.pool, func(tx pgx.Tx) {
			if err := s.publisher.PublishBatch(t.Context(), Pgx(tx), []change{{Key: "a", Version: 2*round + 1}, {Key: "a", Version: 2*round + 2}}); err != nil {
				t.Error(err)
			}
		})
		for range 100 {
			notifier.Notify()
		}
		eventually(t, "what was notified is sent", func() bool { return sent() == 2*(round+1) })
		ended = listener
		mustExec(t, s.pool, `SELECT pg_terminate_backend($1)`, ended)
	}
	s.versions["a"] = 6
	s.check(t)
}

// TestChannelOfLongNames: the longest table names give channels that PostgreSQL
// accepts, and different ones.
func TestChannelOfLongNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, bare := range []string{"public.outbox", strings.Repeat("s", 63) + "." + strings.Repeat("t", 63), strings.Repeat("s", 63) + "." + strings.Repeat("t", 62) + "u", "s." + strings.Repeat("t", 53)} {
		channel := names{bare: bare}.channel()
		if len(channel) > longestName || seen[channel] {
			t.Errorf("%s has the channel %q", bare, channel)
		}
		seen[channel] = true
	}
}
