package outbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
)

// TestDrain measures how fast a backlog of EVENTBUS_OUTBOX_DRAIN rows is sent to the
// brokers in EVENTBUS_TEST_BROKERS. It asserts that nothing is left, but not how long
// it takes.
func TestDrain(t *testing.T) {
	rows, _ := strconv.Atoi(os.Getenv("EVENTBUS_OUTBOX_DRAIN"))
	brokers := os.Getenv("EVENTBUS_TEST_BROKERS")
	if dsn(t); rows == 0 || brokers == "" {
		t.Skip("a measurement: set EVENTBUS_OUTBOX_DRAIN to a number of rows, and EVENTBUS_TEST_BROKERS")
	}
	for _, unfenced := range []bool{false, true} {
		t.Run(fmt.Sprint("unfenced=", unfenced), func(t *testing.T) {
			pool := openPool(t, dsn(t), 8)
			table := newTable(t, pool)
			n, _ := table.names()
			bus, err := eventbus.New(kafka.New(kafka.Config{Brokers: strings.Split(brokers, ",")}), eventbus.Config{Service: "drain", Environment: "Test", Logger: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = bus.Close(t.Context()) })
			base := eventbus.NewPublisher(bus, changeTopic)
			if err := base.Publish(t.Context(), change{Key: "topic"}); err != nil {
				t.Fatal(err)
			}
			e, err := base.Envelope(t.Context(), change{Key: "k", Data: strings.Repeat("x", 200)})
			if err != nil {
				t.Fatal(err)
			}
			x, err := newRow(e)
			if err != nil {
				t.Fatal(err)
			}
			for from := 0; from < rows; from += 1000 {
				mustExec(t, pool, n.sql(`INSERT INTO {outbox} (format, event_id, topic, key, value, attributes)
					SELECT 1, gen_random_uuid()::text, $1, convert_to('k' || (i % 5000), 'UTF8'), $2, $3 FROM generate_series($4::int, $5::int) i`), x.topic, x.value, x.attributes, from, from+999)
			}
			start := time.Now()
			runRelay(t, bus, pool, Config{Table: table, Unfenced: unfenced})
			eventually(t, "everything is sent", func() bool {
				var sent int
				if err := pool.QueryRow(t.Context(), n.sql(`SELECT published FROM {relay}`)).Scan(&sent); err != nil {
					t.Fatal(err)
				}
				return sent >= rows
			})
			took := time.Since(start)
			t.Logf("%d rows in %v: %.0f rows/s", rows, took.Round(time.Millisecond), float64(rows)/took.Seconds())
		})
	}
}
