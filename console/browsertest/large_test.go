package browsertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
)

// Bounds for the program that serves the pages, with 10,000 parked keys on 1,000 partitions.
// They are of its processor time rather than of elapsed time, which other programs on the
// machine would affect.
const (
	maxPageBytes = 1 << 20
	maxPageCPU   = 200 * time.Millisecond
	maxShare     = 0.05 // of a core, for a stream and the asking of the member
)

// largeMember serves as a member with 10,000 parked keys, whose waits grow with each answer.
// asked receives a value for each answer.
func largeMember(t *testing.T) (server *httptest.Server, asked chan struct{}) {
	t.Helper()
	asked = make(chan struct{}, 1000)
	begin := time.Now()
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/groups" {
			http.NotFound(w, r)
			return
		}
		waited := time.Since(begin).Milliseconds()
		group := eventbus.GroupInspection{Name: "big-test", State: "stable", Joined: true, Alive: true, ParkedKeys: 10_000}
		for i := range int32(1000) {
			p := eventbus.PartitionInspection{Topic: ordersTopic, Partition: i, Watermark: 1_000_000, Next: 1_000_100, Committed: 1_000_000, Lag: 5000, StalledMs: 240_000 + waited, BehindMs: 240_000 + waited, ParkedKeys: 10}
			for k := range 10 {
				key := fmt.Sprintf("customer-%d-%d", i, k)
				p.Parked = append(p.Parked, eventbus.ParkedKey{
					Key: key, Raw: []byte(key), Offset: 1_000_000 + int64(k), State: "retry", WaitingMs: 240_000 + int64(k) + waited, DueMs: 40_000, Attempts: 5, Bytes: 4096,
					Error: "dial tcp 10.0.0.7:5432: connect: connection refused",
				})
			}
			group.Partitions = append(group.Partitions, p)
		}
		if err := json.NewEncoder(w).Encode(eventbus.Inspection{Service: "big", Groups: []eventbus.GroupInspection{group}}); err == nil {
			asked <- struct{}{}
		}
	}))
	t.Cleanup(server.Close)
	return server, asked
}

// cpu returns the processor time that the program has taken.
func (p *program) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	must(t, err)
	// The name in parentheses may have spaces; utime and stime are the 14th and 15th field
	// (proc_pid_stat(5)), in hundredths of a second.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var sum int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		must(t, err)
		sum += n
	}
	return time.Duration(sum) * 10 * time.Millisecond
}

// TestLarge shows 10,000 parked keys and 1,000 partitions within bounds of processor time
// and bytes.
func TestLarge(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the processor time of another process is read from /proc")
	}
	server, asked := largeMember(t)
	log := &record{}
	served := start(t, build(t), log, "--member", server.URL)
	p := open(t, newBrowser(t))
	p.get(served.address)
	for _, want := range []string{"partition 0 of " + ordersTopic + " stands still for", "key customer-0-0, attempt 5, next in 40 s"} {
		p.see("main", want)
	}
	const times = 10
	for _, path := range []string{"./", "keys", "keys?page=100", "keys?find=customer-999-9", "members"} {
		before := served.cpu(t)
		size := await[int](p, fmt.Sprintf("(async () => { let n = 0; for (let i = 0; i < %d; i++) n = (await (await fetch(%q)).arrayBuffer()).byteLength; return n; })()", times, path))
		took := (served.cpu(t) - before) / times
		t.Logf("%s: %d bytes, %v of a processor", path, size, took)
		if took > maxPageCPU || size > maxPageBytes || size < 1000 {
			t.Errorf("%s: %d bytes in %v of a processor", path, size, took)
		}
	}
	for path, want := range map[string]string{"": "960 more partitions", "keys": "10,000 keys, page 1 of 100"} {
		p.get(served.base + path)
		p.see("main", want)
		p.see("#live", "live")
		for len(asked) > 0 {
			<-asked
		}
		begin, before := time.Now(), served.cpu(t)
		for range 5 { // it is asked each second while somebody looks
			<-asked
		}
		share := float64(served.cpu(t)-before) / float64(time.Since(begin))
		t.Logf("/%s: the stream and the asking take %.1f %% of a core", path, 100*share)
		if share > maxShare {
			t.Errorf("/%s: the stream and the asking take %.1f %% of a core", path, 100*share)
		}
	}
}
