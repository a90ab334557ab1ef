package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a child: this program once more, with a task.
type process struct {
	name    string
	command *exec.Cmd
	stdin   io.WriteCloser
	log     string
	ended   chan struct{}
	// err is how the child ended; valid once ended is closed.
	err error
	// peak is the most memory that the child had, in kilobytes.
	peak atomic.Int64

	mu sync.Mutex
	// killed says that the campaign killed it: that is not a failure.
	killed bool
}

// spawn starts a child. Its output goes to a file in dir.
func spawn(dir, name string, t *task) (*process, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.command = exec.Command(program)
	p.command.Env = append(os.Environ(), taskVariable+"="+string(text))
	p.command.Stdout, p.command.Stderr = log, log
	// A process group of its own, so that Ctrl-C reaches this process alone,
	// which then ends the children in order.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		p.err = p.command.Wait()
	}()
	go p.watch()
	return p, nil
}

// send writes a line to the child's input. A child that was just killed does
// not read it.
func (p *process) send(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stdin, format+"\n", args...)
}

// signal sends a signal, unless the child has ended.
func (p *process) signal(s syscall.Signal) {
	if s == syscall.SIGKILL {
		p.mu.Lock()
		p.killed = true
		p.mu.Unlock()
	}
	_ = p.command.Process.Signal(s)
}

// wait waits for the end, and kills the child if it does not come within
// patience.
func (p *process) wait(patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		// The Go runtime then writes the stacks of all goroutines into the log.
		_ = p.command.Process.Signal(syscall.SIGQUIT)
		select {
		case <-p.ended:
		case <-time.After(2 * time.Second):
			p.signal(syscall.SIGKILL)
			<-p.ended
		}
		return fmt.Errorf("%s did not end within %s, see %s", p.name, patience, p.log)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var exit *exec.ExitError
	if p.killed && errors.As(p.err, &exit) {
		return nil
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w, see %s", p.name, p.err, p.log)
	}
	return nil
}

// watch records the most memory that the child has had. The kernel's own figure
// at the end would include the parent's memory at the fork.
func (p *process) watch() {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		p.peak.Store(max(p.peak.Load(), memory(strconv.Itoa(p.command.Process.Pid), "VmHWM:")))
		select {
		case <-ticker.C:
		case <-p.ended:
			return
		}
	}
}

// memory returns a field of the kernel's status of a process: VmRSS, its memory
// now, or VmHWM, the most that it had. In kilobytes; 0 if it can't be read.
func memory(process, field string) int64 {
	status, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		return 0
	}
	_, rest, found := strings.Cut(string(status), field)
	var kilobytes int64
	if _, err := fmt.Sscan(rest, &kilobytes); !found || err != nil {
		return 0
	}
	return kilobytes
}

// rss returns the most memory that the child has had, in megabytes.
func (p *process) rss() float64 { return float64(p.peak.Load()) / 1024 }

// String returns the name and the process id.
func (p *process) String() string { return p.name + " (" + strconv.Itoa(p.command.Process.Pid) + ")" }
