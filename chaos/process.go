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

// process is a child: this program again, with a task.
type process struct {
	name    string
	command *exec.Cmd
	stdin   io.WriteCloser
	log     string
	ended   chan struct{}
	err     error        // once ended
	peak    atomic.Int64 // kilobytes

	mu     sync.Mutex
	killed bool
}

// spawn starts a child. What it says goes to files in dir.
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
	// In a group of its own: Ctrl-C is this process's to deal with.
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

// tell sends a line. A child that has just been killed does not hear it.
func (p *process) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stdin, format+"\n", args...)
}

func (p *process) signal(s syscall.Signal) {
	if s == syscall.SIGKILL {
		p.mu.Lock()
		p.killed = true
		p.mu.Unlock()
	}
	_ = p.command.Process.Signal(s) // one that has ended hears nothing
}

// wait waits for the end, and kills the child after a time.
func (p *process) wait(patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		// Where every goroutine stands is in its log then.
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

// watch notes the most memory that the child has had, for as long as it lives: the
// kernel's own account at the end has the parent's in it.
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

// memory is what the kernel says in a field of the status of a process, by its
// id: VmRSS, what it has, or VmHWM, the most that it has had. In kilobytes; 0 if
// it can't be told.
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

// rss is the most memory that the child has had, in megabytes.
func (p *process) rss() float64 { return float64(p.peak.Load()) / 1024 }

func (p *process) String() string { return p.name + " (" + strconv.Itoa(p.command.Process.Pid) + ")" }
