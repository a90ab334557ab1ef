package meter

import (
	"bytes"
	"os"
	"strconv"
)

// peakRSS reads VmHWM, which starts again with each program that a process runs
// (Linux, proc_pid_status(5)); getrusage's ru_maxrss would begin with that of
// the process that started this one.
func peakRSS() uint64 { return status("VmHWM:") }

// RSS returns the resident set of this process now, in bytes; 0 if the system does
// not say.
func RSS() uint64 { return status("VmRSS:") }

// status returns a field of /proc/self/status that is in kB, in bytes.
func status(name string) uint64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			kilobytes, _ := strconv.ParseUint(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
