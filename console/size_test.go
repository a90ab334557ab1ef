//go:build unix

package console_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/console"
)

// Bounds of a page and its stream, for a bus with 1,000 partitions that have ten parked keys
// each.
const (
	maxPageBytes = 1 << 20
	maxPageCPU   = 200 * time.Millisecond
	maxShare     = 0.05 // of a core
)

// large serves the inspection of a large member.
func large(t *testing.T) *httptest.Server {
	t.Helper()
	group := eventbus.GroupInspection{Name: "big-test", State: "stable", Joined: true, Alive: true, ParkedKeys: 10_000}
	for i := range int32(1000) {
		p := eventbus.PartitionInspection{Topic: "test.sales.public.orders.v1", Partition: i, Watermark: 1_000_000, Next: 1_000_100, Committed: 1_000_000, Lag: 5000, StalledMs: 240_000, BehindMs: 240_000, ParkedKeys: 10}
		for k := range 10 {
			key := fmt.Sprintf("customer-%d-%d", i, k)
			p.Parked = append(p.Parked, eventbus.ParkedKey{
				Key: key, Raw: []byte(key), Offset: 1_000_000 + int64(k), State: "retry", WaitingMs: 240_000 + int64(k), DueMs: 40_000, Attempts: 5, Bytes: 4096,
				Error: "dial tcp 10.0.0.7:5432: connect: connection refused",
			})
		}
		group.Partitions = append(group.Partitions, p)
	}
	text, err := json.Marshal(eventbus.Inspection{Service: "big", Groups: []eventbus.GroupInspection{group}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/groups" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(server.Close)
	return server
}

// cpu returns the processor time of this process.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestLargeBus shows 10,000 parked keys and 1,000 partitions within bounds.
func TestLargeBus(t *testing.T) {
	if raceEnabled || runtime.GOOS != "linux" {
		t.Skip("the race detector takes time of its own")
	}
	server := large(t)
	h := newConsole(t, func(c *console.Config) { c.Bus, c.Members = nil, []console.Member{{URL: server.URL}} })
	ask(h, "GET", "/", "") // which waits for the member
	for _, path := range []string{"/", "/keys", "/keys?page=100", "/keys?find=customer-999-9", "/members", "/keys.json"} {
		before := cpu(t)
		w := ask(h, "GET", path, "")
		took, size := cpu(t)-before, w.Body.Len()
		t.Logf("%s: %d bytes, %v", path, size, took)
		if w.Code != 200 || took > maxPageCPU || size > maxPageBytes && path != "/keys.json" {
			t.Errorf("%s: %d, %d bytes in %v of a processor", path, w.Code, size, took)
		}
	}
	w := ask(h, "GET", "/", "")
	for _, want := range []string{"partition 0 of test.sales.public.orders.v1 stands still for 4 min in group big-test: key customer-0-0, attempt 5, next in 40 s", "960 more partitions"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if w := ask(h, "GET", "/keys", ""); !strings.Contains(w.Body.String(), "10,000 keys, page 1 of 100") {
		t.Error("the keys are not counted")
	}
	share := stream(t, h)
	t.Logf("the stream takes %.1f %% of a core, with the asking of the member", 100*share)
	if share > maxShare*2 { // half of it is this test's own member and reader
		t.Errorf("the stream takes %.1f %% of a core", 100*share)
	}
}

// stream follows a page for some seconds and returns the share of a core that it took.
func stream(t *testing.T, h http.Handler) float64 {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	answer, err := http.Get(server.URL + "/live/now")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	begin, used := time.Now(), cpu(t)
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && time.Since(begin) < 6*time.Second {
	}
	return float64(cpu(t)-used) / float64(time.Since(begin))
}
