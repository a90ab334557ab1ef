package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/bench/internal/peer"
	"github.com/eventbus-go/eventbus/bench/internal/statistic"
)

func testCampaign(t *testing.T, log *measurementLog, seed uint64) *campaign {
	t.Helper()
	workloads, err := choose("sync-1,consume", false, false)
	if err != nil {
		t.Fatal(err)
	}
	return &campaign{workloads: workloads, peers: []string{peer.Eventbus, peer.EventbusJSON, peer.Franz, peer.KafkaGo}, rounds: 9, others: 9, seed: seed, log: log}
}

func TestTasksAreShuffledWithinRounds(t *testing.T) {
	tasks := testCampaign(t, new(measurementLog), 1).tasks()
	if want := 9 * (3 + 4); len(tasks) != want {
		t.Fatalf("%d tasks, want %d", len(tasks), want)
	}
	orders := make(map[string]bool)
	for i := 0; i < len(tasks); i += 7 {
		var order []string
		for _, k := range tasks[i : i+7] {
			if k.Round != i/7+1 {
				t.Fatalf("round %d stands among those of round %d", k.Round, i/7+1)
			}
			order = append(order, k.Workload+" "+k.Peer)
		}
		orders[strings.Join(order, ",")] = true
		slices.Sort(order)
		if len(slices.Compact(order)) != 7 {
			t.Fatalf("round %d has one twice: %v", i/7+1, order)
		}
	}
	if len(orders) < 5 {
		t.Errorf("nine rounds have %d orders", len(orders))
	}
}

func TestOthersHaveFewerRounds(t *testing.T) {
	c := testCampaign(t, new(measurementLog), 1)
	c.others = 3
	rounds := make(map[string]int)
	for _, k := range c.tasks() {
		rounds[k.Workload+"/"+k.Peer]++
	}
	for what, want := range map[string]int{
		"sync-1/eventbus": 9, "sync-1/franz-go": 9, "sync-1/kafka-go": 3,
		"consume/eventbus": 9, "consume/franz-go": 9, "consume/kafka-go": 3, "consume/eventbus-encoding-json": 9,
	} {
		if rounds[what] != want {
			t.Errorf("%s has %d rounds, want %d", what, rounds[what], want)
		}
	}
}

func TestCampaignGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "measurements.jsonl")
	log, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	all := testCampaign(t, log, 7).tasks()
	for i, k := range all[:10] {
		m := measurement{Peer: k.Peer, Workload: k.Workload, Round: k.Round, Rate: float64(i + 1)}
		if i == 4 {
			m.Error = "the broker went away"
		}
		if err := log.add(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(file, `{"peer":"eventbus","workl`) // killed while it wrote
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	if log, err = openLog(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.close() })
	want := append([]task{all[4]}, all[10:]...) // the failed one again, and the rest in the same order
	if got := testCampaign(t, log, 7).tasks(); !slices.Equal(names(got), names(want)) {
		t.Errorf("left: %v, want %v", names(got), names(want))
	}
	if err := log.add(measurement{Peer: all[4].Peer, Workload: all[4].Workload, Round: 1}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if !json.Valid(line) {
			t.Errorf("the log has the line %s", line)
		}
	}
}

func names(tasks []task) []string {
	var n []string
	for _, k := range tasks {
		n = append(n, k.Workload+"/"+k.Peer)
	}
	return n
}

// paired fills a log with rounds in which the machine's pace varies and ours is
// better than franz-go by a constant factor.
func paired(rounds int, factor float64) *measurementLog {
	log := new(measurementLog)
	for round := 1; round <= rounds; round++ {
		pace := 1 + float64(round%4)
		for _, w := range []string{"async", "consume", "sync-1"} {
			log.measurements = append(log.measurements,
				measurement{Peer: peer.Eventbus, Workload: w, Round: round, Rate: 100_000 * factor * pace, CPU: 4 / factor * pace, Allocs: 5, Heap: 20, RSS: 90, P50: 140 / factor * pace, P99: 300 * pace},
				measurement{Peer: peer.Franz, Workload: w, Round: round, Rate: 100_000 * pace, CPU: 4 * pace, Allocs: 9, Heap: 20, RSS: 90, P50: 140 * pace, P99: 300 * pace})
		}
	}
	return log
}

func TestRowsCompareWithinRounds(t *testing.T) {
	for _, rounds := range []int{1, 9} {
		all, err := choose("", true, false)
		if err != nil {
			t.Fatal(err)
		}
		rows := paired(rounds, 1.25).rows(all)
		if len(rows) != 6 {
			t.Fatalf("%d rows", len(rows))
		}
		for _, r := range rows {
			want := map[string]float64{peer.Franz: 1, peer.Eventbus: 1.25}[r.Peer]
			if r.RatioOf == p50.name {
				want = 1 / want
			}
			if r.Ratio == nil || math.Abs(*r.Ratio-want) > 1e-9 {
				t.Errorf("%s on %s: ratio %v, want %v", r.Peer, r.Workload, r.Ratio, want)
			}
			if (r.RatioRange != nil) != (rounds == 9) {
				t.Errorf("%d rounds: interval %v", rounds, r.RatioRange)
			}
			line, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range []string{`"workload"`, `"peer"`, `"rate"`, `"p50_us"`, `"p99_us"`, `"cpu_us"`, `"allocs"`, `"rss_mb"`, `"ratio_to_franz"`} {
				if !bytes.Contains(line, []byte(field)) {
					t.Errorf("the row lacks %s: %s", field, line)
				}
			}
		}
	}
}

func TestVerdicts(t *testing.T) {
	least := target{metric: rate, to: peer.Franz, reach: 1.2, beyond: 1.4}
	most := target{metric: cpu, to: peer.Franz, reach: 0.65, beyond: 0.55}
	level := target{metric: p50, to: peer.Franz, reach: 1, beyond: 0.95, level: true}
	nan := math.NaN()
	for _, c := range []struct {
		target target
		e      statistic.Estimate
		want   string
	}{
		{least, statistic.Estimate{Median: 1.19, Low: 1.1, High: 1.3}, "no"},
		{least, statistic.Estimate{Median: 1.2, Low: 1.1, High: 1.3}, "reached"},
		{least, statistic.Estimate{Median: 1.5, Low: 1.1, High: 1.6}, "beyond"},
		{least, statistic.Estimate{Median: 1.5, Low: nan, High: nan}, "beyond, preliminary"},
		{least, statistic.Estimate{Median: nan, Low: nan, High: nan}, "not measured"},
		{most, statistic.Estimate{Median: 0.66, Low: 0.6, High: 0.7}, "no"},
		{most, statistic.Estimate{Median: 0.6, Low: 0.5, High: 0.7}, "reached"},
		{most, statistic.Estimate{Median: 0.5, Low: 0.4, High: 0.7}, "beyond"},
		{level, statistic.Estimate{Median: 1.02, Low: 0.99, High: 1.05}, "reached"},
		{level, statistic.Estimate{Median: 1.02, Low: 1.01, High: 1.05}, "no"},
		{level, statistic.Estimate{Median: 0.94, Low: 0.9, High: 1.05}, "beyond"},
	} {
		if got := c.target.verdict(c.e); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.target.metric.name, c.e, got, c.want)
		}
	}
}

func TestTargetsNameWhatIsMeasured(t *testing.T) {
	all := workloads()
	for _, k := range targets() {
		i := slices.IndexFunc(all, func(w workload) bool { return w.name == k.workload })
		if i < 0 {
			t.Errorf("%s: there is no workload %q", k.what, k.workload)
			continue
		}
		peers := all[i].sized(false).peers
		if !slices.Contains(peers, k.ours) || k.to != "" && !slices.Contains(peers, k.to) {
			t.Errorf("%s: %s has the peers %v", k.what, k.workload, peers)
		}
	}
	for _, g := range growthSteps {
		if _, err := choose(g.from+","+g.to, true, false); err != nil {
			t.Error(err)
		}
	}
}

func TestFigures(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.456: "0.46", 9.99: "9.99", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567: "1,234,567", math.NaN(): "–"} {
		if got := figure(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

func TestChartIsXML(t *testing.T) {
	all, err := choose("", true, false)
	if err != nil {
		t.Fatal(err)
	}
	log := paired(1, 1.3)
	var chart bytes.Buffer
	if err := writeChart(&chart, log, log.rows(all)); err != nil {
		t.Fatal(err)
	}
	bars := 0
	for decoder := xml.NewDecoder(&chart); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if want := 5 * 2; bars != want { // five of the six panels have figures, of two clients
		t.Errorf("%d bars, want %d", bars, want)
	}
}

func TestRewriteKeepsWhatIsNotItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(path, []byte("# Before\n\n"+documentBegin+"\nold\n"+documentEnd+"\n\nAfter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := rewrite(path, "new\n", []byte("<svg/>")); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if want := "# Before\n\n" + documentBegin + "\nnew\n" + documentEnd + "\n\nAfter\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v; want %q", text, err, want)
	}
	if err := os.WriteFile(path, []byte("no markers"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(path, "new", nil); err == nil {
		t.Error("a document without markers was rewritten")
	}
}
