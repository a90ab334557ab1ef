package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// notifyEvery is the shortest time between notifications. A notification takes a
// database-wide lock when it commits, and one in each transaction would cost most of
// the throughput.
const notifyEvery = 50 * time.Millisecond

// Notifier wakes the relays of other processes that have [Config.Listen], after commits
// of this process. Without it relays find everything at their next poll. It is safe for
// concurrent use.
type Notifier struct {
	pool    *pgxpool.Pool
	channel string

	// mu guards pending, which is true while a notification is due and has not begun.
	// sending counts those that are due or under way.
	mu      sync.Mutex
	pending bool
	sending sync.WaitGroup
}

// NewNotifier returns a notifier of the relays of an outbox. It takes a connection from
// pool for each notification.
func NewNotifier(pool *pgxpool.Pool, table Table) (*Notifier, error) {
	n, err := table.names()
	if err != nil {
		return nil, fmt.Errorf("outbox: notify: %w", err)
	}
	return &Notifier{pool: pool, channel: n.channel()}, nil
}

// Notify returns at once. Call it after a commit: all calls within 50 ms make one
// notification. It does not return errors of the database, since nothing depends on a
// notification.
func (n *Notifier) Notify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	// The pending notification also comes after this commit.
	if n.pending {
		return
	}
	n.pending = true
	// It is counted before the timer runs, so that Close waits for it.
	n.sending.Add(1)
	time.AfterFunc(notifyEvery, n.send)
}

// send notifies once. It resets pending before the statement begins, since a commit
// during the statement may need another notification.
func (n *Notifier) send() {
	defer n.sending.Done()
	n.mu.Lock()
	n.pending = false
	n.mu.Unlock()
	// The bound is for Close, which would otherwise wait until the database answers.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = n.pool.Exec(ctx, `SELECT pg_notify($1, '')`, n.channel)
}

// Close waits for notifications that are pending or under way. A program calls it
// before it closes the pool.
func (n *Notifier) Close() { n.sending.Wait() }

// longestName is the length at which PostgreSQL truncates identifiers (NAMEDATALEN).
// LISTEN truncates a longer channel, and pg_notify refuses it.
const longestName = 63

// channel returns the channel of notifications. It has the table's name, or a digest
// of a name that is too long.
func (n names) channel() string {
	channel := "eventbus " + n.bare
	if len(channel) > longestName {
		digest := sha256.Sum256([]byte(n.bare))
		channel = "eventbus " + hex.EncodeToString(digest[:16])
	}
	return channel
}

// listener calls wake at each notification. It has its own connection.
type listener struct {
	pool    *pgxpool.Pool
	channel string
	wake    func()
	logger  *slog.Logger
}

// run listens until ctx ends. After an error it tries again. Behind a PgBouncer that
// pools transactions nothing arrives.
func (l *listener) run(ctx context.Context) {
	for failed := failures(0); ctx.Err() == nil; {
		began := time.Now()
		err := l.listen(ctx)
		if err != nil && ctx.Err() == nil {
			l.logger.Debug("not listening, and trying again", "error", err)
			wait(ctx, failed.next(time.Since(began)))
		}
	}
}

// listen wakes at every notification until ctx or the connection ends. It never
// returns nil.
func (l *listener) listen(ctx context.Context) error {
	pooled, err := l.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	conn := pooled.Hijack() // a connection that listens must not return to the pool
	defer func() {
		// ctx has usually ended by now, and closing sends a message to the server.
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ending)
	}()
	if _, err := conn.Exec(ctx, `LISTEN "`+l.channel+`"`); err != nil {
		return err
	}
	l.wake() // for earlier notifications
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		l.wake()
	}
}
