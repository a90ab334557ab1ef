package meter

import (
	"bytes"
	"os"
	"strconv"
)

// peakRSS returns VmHWM, in bytes (Linux, proc_pid_status(5)). Executing a program resets
// it, whereas the ru_maxrss of getrusage would begin with that of the parent process.
func peakRSS() uint64 { return status("VmHWM:") }

// RSS returns the current resident set of this process, in bytes, or 0 if the system does
// not say.
func RSS() uint64 { return status("VmRSS:") }

// status returns the value of a field of /proc/self/status, converted from KiB to bytes, or
// 0 if there is none.
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
