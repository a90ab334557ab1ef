package inbox

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/postgres/internal/carry"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config configures an Inbox. The zero value is usable.
type Config struct {
	// Table is the table of the keys. Default public.inbox.
	Table Table
	// Keep is how long a key is kept. An event that is delivered again after that, by
	// a redelivered dead letter, an offset reset or a replay, is handled again.
	// Default 14 days, twice Kafka's default retention.
	Keep time.Duration
	// Timeout bounds a transaction, and thereby how long an attempt holds a connection,
	// even while it waits for receipts of what it published on the bus itself. If a
	// process freezes in a transaction, the server ends the transaction after the same
	// time. Default 30 s.
	Timeout time.Duration
	// Isolation is the isolation level of the transactions. Default: the server's, read
	// committed. With a stricter one, a concurrent delivery of the same event fails and
	// is retried.
	Isolation pgx.TxIsoLevel
	// Logger; default slog.Default().
	Logger *slog.Logger
}

// Inbox is an eventbus.Inbox on PostgreSQL. It is safe for concurrent use and owns
// nothing.
type Inbox struct {
	database database
	config   Config
	table    string
}

var _ eventbus.Inbox = (*Inbox)(nil)

// New returns an inbox in the database of pool. The pool needs a connection for each
// handler that runs at the same time. [FromContext] returns the handler's transaction.
func New(pool *pgxpool.Pool, config Config) (*Inbox, error) {
	if pool == nil {
		return nil, errors.New("inbox: a pool is needed")
	}
	return newInbox(pgxDatabase{pool}, config)
}

// NewSQL returns an inbox in the PostgreSQL database of db, with any driver that
// accepts text and the placeholder $1. [SQLFromContext] returns the handler's
// transaction.
func NewSQL(db *sql.DB, config Config) (*Inbox, error) {
	if db == nil {
		return nil, errors.New("inbox: a database is needed")
	}
	return newInbox(sqlDatabase{db}, config)
}

// newInbox checks the configuration and fills in the defaults. It runs no statement.
func newInbox(database database, config Config) (*Inbox, error) {
	table, err := config.Table.quoted()
	if err != nil {
		return nil, err
	}
	if config.Keep < 0 || config.Timeout < 0 {
		return nil, fmt.Errorf("inbox: Keep is %v and Timeout %v: use positive durations, or zero for the defaults", config.Keep, config.Timeout)
	}
	if _, ok := isolations[config.Isolation]; !ok {
		return nil, fmt.Errorf("inbox: Isolation %q: use pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable, or nothing for the server's", config.Isolation)
	}
	config.Keep = cmp.Or(config.Keep, 14*24*time.Hour)
	config.Timeout = cmp.Or(config.Timeout, 30*time.Second)
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	return &Inbox{database: database, config: config, table: table}, nil
}

// FromContext returns the transaction of the handler that was called with ctx. The
// inbox commits it if the handler returns nil.
func FromContext(ctx context.Context) (pgx.Tx, bool) {
	tx, ok := carry.From(ctx).(pgx.Tx)
	return tx, ok
}

// SQLFromContext is FromContext for an inbox that NewSQL returned.
func SQLFromContext(ctx context.Context) (*sql.Tx, bool) {
	tx, ok := carry.From(ctx).(*sql.Tx)
	return tx, ok
}

// Once implements eventbus.Inbox. It inserts keys in sorted order, so that batches
// that share some do not deadlock. The second batch waits for the first: if that
// commits, the second runs without the shared keys; if it rolls back, with them.
func (b *Inbox) Once(ctx context.Context, keys []string, do func(ctx context.Context, fresh []int) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.config.Timeout, fmt.Errorf("inbox: the transaction took longer than %v", b.config.Timeout))
	defer cancel()
	tx, err := b.database.begin(ctx, &b.config)
	if err != nil {
		return fmt.Errorf("inbox: begin: %w", err)
	}
	// For errors, and for a handler that panics. After the commit it does nothing.
	defer tx.rollback(ctx)
	fresh, err := b.enter(ctx, tx, keys)
	if err != nil {
		return err
	}
	if err := do(carry.With(ctx, tx.handle()), fresh); err != nil {
		return err
	}
	if err := tx.commit(ctx); err != nil {
		return fmt.Errorf("inbox: commit: %w", err)
	}
	return nil
}

// enter writes the keys and returns the indexes of those that are new.
func (b *Inbox) enter(ctx context.Context, tx transaction, keys []string) ([]int, error) {
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = text(key)
	}
	sorted := slices.Clone(texts)
	slices.Sort(sorted)
	entered, err := tx.enter(ctx, b.table, slices.Compact(sorted), b.config.Timeout)
	if err != nil {
		return nil, b.fault(err)
	}
	isNew := make(map[string]bool, len(entered))
	for _, key := range entered {
		isNew[key] = true
	}
	var fresh []int
	for i, key := range texts {
		if isNew[key] {
			fresh = append(fresh, i)
			delete(isNew, key) // the same event twice in a batch is one
		}
	}
	return fresh, nil
}

// fault wraps an error of enter. If the table is missing (SQLSTATE 42P01), it says
// what to do.
func (b *Inbox) fault(err error) error {
	var s interface{ SQLState() string }
	if errors.As(err, &s) && s.SQLState() == "42P01" {
		return fmt.Errorf("inbox: %w: the table %s does not exist: run inbox.Migrate, or the SQL of inbox.Schema: %w", ErrSchema, b.config.Table, err)
	}
	return fmt.Errorf("inbox: enter the keys: %w", err)
}

// maxKey bounds a stored key, in bytes, far below what an index can hold (2,704).
const maxKey = 1000

// text returns the key in a form that PostgreSQL can store in any database encoding:
// ASCII without zero bytes, and short enough for an index. Long keys, which only
// foreign producers make, are hashed.
func text(key string) string {
	// A key that looks quoted is quoted too, so that two keys never become one.
	if strings.HasPrefix(key, `"`) || strings.ContainsFunc(key, func(r rune) bool { return r == 0 || r >= utf8.RuneSelf }) {
		key = strconv.QuoteToASCII(key)
	}
	if len(key) > maxKey {
		sum := sha256.Sum256([]byte(key))
		key = "sha256:" + hex.EncodeToString(sum[:])
	}
	return key
}
