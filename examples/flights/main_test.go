package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inMemory is a cluster that outlives its runs.
type inMemory struct{ *memory.Cluster }

type keptOpen struct{ transport.Transport }

func (keptOpen) Close(context.Context) error { return nil }

func (m inMemory) transport() transport.Transport { return keptOpen{m.Cluster} }
func (inMemory) close()                           {}

// console is a writer that tests may read.
type console struct {
	mu sync.Mutex
	bytes.Buffer
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Buffer.Write(p)
}

// newSettings are those of a run in memory over a file with n flights.
func newSettings(t *testing.T, n int, args ...string) (s settings, cluster *memory.Cluster, out *console) {
	t.Helper()
	s, err := parse(append([]string{"--file", writeSource(t, n)}, args...), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	cluster = memory.New()
	t.Cleanup(func() {
		if err := cluster.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	out = new(console)
	s.connect = func([]string, string) (brokers, error) { return inMemory{cluster}, nil }
	s.stdout, s.stderr = out, t.Output()
	return s, cluster, out
}

// writeSource writes flights of five carriers: one in ten is cancelled, one in
// seven has a delay that nobody knows.
func writeSource(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	_, _ = fmt.Fprintln(zipped, strings.Join(columns, ","))
	for i := range n {
		departure, delay := "517", fmt.Sprint(i%40-10)
		if i%7 == 3 {
			delay = unknown
		}
		if i%10 == 9 {
			departure, delay = unknown, unknown
		}
		_, _ = fmt.Fprintf(zipped, "%d,%s,%s,%s,%d,N1,EWR,IAH,15,2013-01-01T10:00:00Z\n",
			1+i%2, departure, delay, []string{"AA", "B6", "DL", "UA", "WN"}[i%5], i%17)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "flights.csv.gz")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRunIsEqual(t *testing.T) {
	s, _, out := newSettings(t, 500, "--month", "0")
	if code := execute(t.Context(), s); code != exitEqual {
		t.Fatalf("exit %d", code)
	}
	text := out.String()
	if n := strings.Count(text, "equal"); n != 6 { // five carriers and the sum
		t.Errorf("%d rows are equal:\n%s", n, text)
	}
	for _, want := range []string{"published      500", "dead-lettered  3", "50 of them cancellations, 0 handled twice, 0 out of order", `"status": "Healthy"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestJSON(t *testing.T) {
	s, _, out := newSettings(t, 200, "--json", "--poison", "5") // month 1 is every other flight
	if code := execute(t.Context(), s); code != exitEqual {
		t.Fatalf("exit %d", code)
	}
	var got map[string]any
	decoder := json.NewDecoder(&out.Buffer)
	if err := decoder.Decode(&got); err != nil || decoder.More() {
		t.Fatalf("not one object: %v", err)
	}
	if got["published"] != 100.0 || got["handled"] != 100.0 || got["dead_lettered"] != 5.0 || got["cancelled"] != 0.0 {
		t.Errorf("%v", got)
	}
	for _, name := range []string{"seconds", "repeated"} {
		if _, ok := got[name].(float64); !ok {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	// Flights 5 of carrier B6 in month 1: i = 6, 16, 26, … of 200.
	b6 := got["carriers"].(map[string]any)["B6"].(map[string]any)
	if b6["flights"] != 20.0 || b6["departed"] != 20.0 || b6["delay_sum"] == nil || b6["delay_max"] != 26.0 {
		t.Errorf("B6: %v", b6)
	}
}

// A run that is stopped in its middle goes on where it was: nothing is published
// or handled twice.
func TestStopAndGoOn(t *testing.T) {
	state := t.TempDir()
	s, cluster, out := newSettings(t, 5000, "--month", "0", "--poison", "4", "--state", state)

	// The board can't finish, since one partition is not delivered.
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	release := make(chan func(), 1)
	go func() {
		held := false
		for {
			changed := cluster.Changed()
			for _, topic := range cluster.Topics() {
				if !strings.HasSuffix(topic, ".aviation.public.flights.v1") {
					continue
				}
				if !held {
					r, err := cluster.HoldFetches(topic, 3)
					if err != nil {
						t.Error(err)
					}
					held = true
					release <- r
				}
				if len(cluster.Records(topic)) > 500 {
					stop(stopSignal{os.Interrupt})
					return
				}
			}
			<-changed
		}
	}()
	if code := execute(ctx, s); code != exitSignal+2 {
		t.Fatalf("exit %d of a stopped run", code)
	}
	if out.Len() > 0 {
		t.Errorf("a stopped run prints %s", out)
	}
	(<-release)()
	board := rows(t, filepath.Join(state, "board.ledger"))
	if len(board) == 5000 {
		t.Fatal("the run was over before it was stopped")
	}
	t.Logf("stopped after %d of 5000 were published and %d handled", len(rows(t, filepath.Join(state, "airport.ledger"))), len(board))

	if code := execute(t.Context(), s); code != exitEqual {
		t.Fatalf("exit %d of the run that goes on", code)
	}
	board = rows(t, filepath.Join(state, "board.ledger"))
	slices.Sort(board)
	if len(board) != 5000 || len(slices.Compact(board)) != 5000 {
		t.Errorf("the board handled %d events, %d different ones, of 5000", len(board), len(slices.Compact(board)))
	}
	airport := rows(t, filepath.Join(state, "airport.ledger"))
	if len(airport) != 5004 {
		t.Errorf("the airport published %d records of 5004", len(airport))
	}
	if text := out.String(); !strings.Contains(text, " 0 handled twice") || !strings.Contains(text, "published      5000 events") {
		t.Error(text)
	}

	// Another run over other flights is not mixed up with this one.
	s.month = 1
	if code := execute(t.Context(), s); code != exitDiffers {
		t.Errorf("exit %d for another month", code)
	}
}

// rows of a ledger.
func rows(t *testing.T, name string) (all []int) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := readLedger(file, func(e entry) error { all = append(all, e.row); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		fault string
	}{
		"None":     {},
		"All":      {args: []string{"--brokers", "127.0.0.1:9092, 127.0.0.1:9093", "--file", "x", "--month", "0", "--json", "--state", "d", "--poison", "0"}},
		"Month":    {[]string{"--month", "13"}, "1 to 12"},
		"Poison":   {[]string{"--poison", "-1"}, "0 or more"},
		"Unknown":  {[]string{"--nothing"}, "not defined"},
		"Argument": {[]string{"now"}, `"now" is not a flag`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parse(c.args, new(bytes.Buffer))
			if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Fatalf("error %v", err)
			}
			if name == "All" && !slices.Equal(s.brokers, []string{"127.0.0.1:9092", "127.0.0.1:9093"}) {
				t.Errorf("brokers %q", s.brokers)
			}
			if name == "None" && (s.month != 1 || s.poison != 3 || s.brokers != nil) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// The same over the Kafka protocol, on the broker inside the process, which keeps
// its log beside the ledgers.
func TestEmbeddedBroker(t *testing.T) {
	s, _, out := newSettings(t, 1000, "--month", "0", "--state", filepath.Join(t.TempDir(), "state"))
	s.connect = connect
	for range 2 { // the second run finds everything done
		if code := execute(t.Context(), s); code != exitEqual {
			t.Fatalf("exit %d:\n%s", code, out)
		}
	}
	if n := strings.Count(out.String(), " 0 handled twice"); n != 2 {
		t.Errorf("%d runs without a repetition:\n%s", n, out)
	}
}

func TestNoBroker(t *testing.T) {
	s, _, _ := newSettings(t, 10, "--month", "0", "--brokers", "127.0.0.1:1")
	s.connect = connect
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := run(ctx, s); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("error %v", err)
	}
}
