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

// describe returns what the figures hold for: the machine, the versions, the
// date.
func describe(kafka string, rounds int, log *measurementLog) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s on %s", time.Now().UTC().Format("2006-01-02"), machine())
	fmt.Fprintf(&b, "; %s; Apache Kafka %s, one broker on the same machine.\n", runtime.Version(), strings.TrimPrefix(kafka, "v"))
	// Only clients that were measured are named.
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
	// Claims rest on nine rounds.
	if rounds < 9 {
		fmt.Fprintf(&b, "**Preliminary:** %d round(s) at most; a claim takes nine.\n", rounds)
	}
	return b.String()
}

// machine returns the processor, its cores and the memory, as far as Linux
// says.
func machine() string {
	// Elsewhere than on Linux this is all that it says.
	s := fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if model := field("/proc/cpuinfo", "model name"); model != "" {
		s = fmt.Sprintf("%s, %d cores", model, runtime.NumCPU())
	}
	// The figure is in KiB (proc_meminfo(5)).
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

// field returns the first value of a name in a file of "name: value" lines.
// It returns "" if the file can't be read or has no such name.
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
