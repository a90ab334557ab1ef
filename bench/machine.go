package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// describe returns the conditions under which the figures hold, as Markdown: the date, the
// machine, and the versions.
func describe(kafka string, rounds int, log *measurementLog) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s on %s", time.Now().UTC().Format("2006-01-02"), machine())
	fmt.Fprintf(&b, "; %s; Apache Kafka %s, one broker on the same machine.\n", runtime.Version(), strings.TrimPrefix(kafka, "v"))
	// Name only the clients that were measured.
	seen := make(map[string]bool)
	for _, m := range log.measurements {
		seen[m.Peer] = true
	}
	var clients []string
	for _, p := range peer.All() {
		if seen[p.Name] && p.Version() != "this tree" {
			clients = append(clients, p.Name+" "+strings.TrimPrefix(p.Version(), "v"))
		}
	}
	fmt.Fprintf(&b, "Clients: %s; eventbus of this tree.\n", strings.Join(clients, ", "))
	// Nine rounds give an interval of 95 % that a single outlier does not widen.
	if rounds < 9 {
		fmt.Fprintf(&b, "**Preliminary:** %d round(s) at most; a claim requires nine.\n", rounds)
	}
	return b.String()
}

// machine returns the processor, the number of its cores, the memory and the kernel, as far
// as the system says.
func machine() string {
	// Systems other than Linux say no more than this.
	s := fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if model := field("/proc/cpuinfo", "model name"); model != "" {
		s = fmt.Sprintf("%s, %d cores", model, runtime.NumCPU())
	}
	// kB stands for KiB here (proc_meminfo(5)).
	if total := field("/proc/meminfo", "MemTotal"); total != "" {
		var kilobytes float64
		if _, err := fmt.Sscanf(total, "%f kB", &kilobytes); err == nil {
			s += fmt.Sprintf(", %.0f GiB", kilobytes/(1<<20))
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		s += ", Linux " + strings.TrimSpace(string(release))
	}
	return s
}

// field returns the first value of a name in a file with lines of the form "name: value". It
// returns "" if the file can't be read or does not have the name.
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(text) {
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(key)) == name {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}
