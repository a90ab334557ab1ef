package outbox

import (
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
)

// TestDatabaseSQL: a *sql.Tx works like a pgx.Tx.
func TestDatabaseSQL(t *testing.T) {
	s := newScene(t, dsn(t))
	db := stdlib.OpenDBFromPool(s.pool)
	t.Cleanup(func() { _ = db.Close() })
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	for n := range int64(20) {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		publisher := s.publisher.With(KeyLock())
		if err := publisher.PublishBatch(t.Context(), SQL(tx), []change{{Key: "a", Version: 2*n + 1}, {Key: "a", Version: 2*n + 2}}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := publisher.Publish(t.Context(), SQL(tx), change{Key: "a"}); err == nil {
			t.Error("a transaction that is over was written in")
		}
	}
	s.versions["a"] = 40
	s.check(t)
	if err := s.publisher.Delete(t.Context(), SQL((*sql.Tx)(nil)), "a"); err == nil {
		t.Error("written without a transaction")
	}
}
