package browsertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/postgres/outbox"
)

// nowhere is a topic that nobody has created.
var nowhere = eventbus.NewTopic(eventbus.TopicConfig[orderPlaced]{Domain: "sales", Name: "nowhere", Type: "OrderPlaced"})

// TestOutbox: the tool shows an outbox on PostgreSQL: its leader, the pending events, and
// those that Kafka refuses, which change while the page is open.
func TestOutbox(t *testing.T) {
	address := os.Getenv("EVENTBUS_TEST_POSTGRES")
	if address == "" {
		t.Skip("no PostgreSQL: set EVENTBUS_TEST_POSTGRES, or run scripts/postgres.sh run")
	}
	w := newWorld(t, false)
	pool, err := pgxpool.New(t.Context(), address)
	must(t, err)
	t.Cleanup(pool.Close)
	table := outbox.Table{Schema: fmt.Sprintf("console%d_%d", os.Getpid(), time.Now().UnixMilli())}
	t.Cleanup(func() { _, _ = pool.Exec(context.Background(), `DROP SCHEMA IF EXISTS `+table.Schema+` CASCADE`) })
	must(t, outbox.Migrate(t.Context(), pool, table))
	bus := w.members[0]
	good, refused := outbox.For(eventbus.NewPublisher(bus, orders)).In(table), outbox.For(eventbus.NewPublisher(bus, nowhere)).In(table)
	add := func(n int, refuse bool) {
		t.Helper()
		must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			for i := range n {
				if err := good.Publish(t.Context(), outbox.Pgx(tx), orderPlaced{fmt.Sprint("fine-", i), "someone@example.com", 100}); err != nil {
					return err
				}
			}
			if !refuse {
				return nil
			}
			for range 2 {
				if err := refused.Publish(t.Context(), outbox.Pgx(tx), orderPlaced{hostileKey, "mallory@example.com", 1}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	add(30, true)

	// The file keeps the address out of the list of processes.
	file := filepath.Join(t.TempDir(), "database")
	must(t, os.WriteFile(file, []byte(address), 0o600))
	served := w.serve(t, build(t), "--database", "@"+file, "--schema", table.Schema)
	p := open(t, newBrowser(t))
	p.get(served.address)
	p.see("nav", "Outbox")
	p.get(served.base + "outbox")
	p.see("#outbox", "nobody") // leads
	cell := func(i int) string { return p.text(fmt.Sprintf("#outbox tbody tr td:nth-of-type(%d)", i)) }
	if pending := cell(2); pending != "32" {
		t.Errorf("%s events are pending, want 32", pending)
	}

	relay, err := outbox.NewRelay(bus, pool, outbox.Config{Table: table})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the relay ended: %v", err)
		}
	})
	p.see("#outbox", "waits for the one before") // without a reload
	p.see("#outbox", `<script>document.title='owned'</script>\x1b[31m\u202egnp`)
	p.see("#outbox", "nowhere")
	must(t, p.until(20*time.Second, func() bool { return cell(2) == "0" && cell(4) == "2" && cell(5) == "30" }))
	if holder := cell(1); holder == "" || strings.Contains(holder, "nobody") {
		t.Errorf("%q leads", holder)
	}
	if title := js[string](p, "document.title"); title == "owned" {
		t.Error("a script of a key ran")
	}
	if shown := js[string](p, "document.documentElement.outerHTML"); strings.Contains(shown, address) || strings.Contains(w.log.String(), address) {
		t.Error("the address of the database is shown")
	}
	p.accessible("outbox of PostgreSQL")

	waiting, err := outbox.ListParked(t.Context(), pool, table, 10)
	must(t, err)
	for i := range waiting {
		must(t, outbox.SkipParked(t.Context(), pool, table, "default", waiting[len(waiting)-1-i].ID))
	}
	add(5, false)
	must(t, p.until(20*time.Second, func() bool {
		return cell(4) == "0" && cell(5) == "35" && !strings.Contains(p.text("#outbox"), "nowhere")
	}))
}
