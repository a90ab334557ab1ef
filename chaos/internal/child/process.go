// Package child runs the processes of the fault campaign. Each writes its
// output into a log of its own, takes commands on its standard input, and may be
// killed or frozen: an end that the campaign caused is not a failure.
//
// The file:
//
//	process  start a child, command it, signal it, wait for it, watch its memory
package child

import (
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

// Process is a running child, or one that has ended. It is safe for concurrent
// use.
type Process struct {
	// Name is what the campaign calls it, and the name of its log.
	Name string
	// command is the running program. stdin takes its commands, log is the path of
	// its output.
	command *exec.Cmd
	stdin   io.WriteCloser
	log     string
	// ended is closed when the child has ended.
	ended chan struct{}
	// err is how the child ended; valid once ended is closed.
	err error
	// peak is the most memory that the child had, in kilobytes.
	peak atomic.Int64

	// mu guards killed.
	mu sync.Mutex
	// killed reports whether the campaign killed it, which is not a failure.
	killed bool
}

// Spawn starts a program, with env added to this process's environment. Its output
// goes to the file name.log in dir. The caller must end it, by closing its input or
// by a signal.
func Spawn(dir, name, program string, env ...string) (*Process, error) {
	p := &Process{Name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	// The child has its own descriptor of the file.
	defer log.Close()
	p.command = exec.Command(program)
	p.command.Env = append(os.Environ(), env...)
	p.command.Stdout, p.command.Stderr = log, log
	// Use a separate process group, so that Ctrl-C reaches only this process, which
	// then ends the children in an orderly way.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	// Somebody has to wait, or the child stays a zombie.
	go func() {
		defer close(p.ended)
		p.err = p.command.Wait()
	}()
	go p.watch()
	return p, nil
}

// Send writes a line to the child's input. A child that was just killed does
// not read it.
func (p *Process) Send(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stdin, format+"\n", args...)
}

// CloseInput ends the child's input, which a child takes as a request to quit.
func (p *Process) CloseInput() { _ = p.stdin.Close() }

// Ended returns a channel that is closed when the child has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Signal sends a signal, unless the child has ended.
func (p *Process) Signal(s syscall.Signal) {
	if s == syscall.SIGKILL {
		p.mu.Lock()
		p.killed = true
		p.mu.Unlock()
	}
	_ = p.command.Process.Signal(s)
}

// Wait waits for the end, and kills the child if it does not come within
// patience.
func (p *Process) Wait(patience time.Duration) error {
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
			p.Signal(syscall.SIGKILL)
			<-p.ended
		}
		return fmt.Errorf("%s did not end within %s, see %s", p.Name, patience, p.log)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var exit *exec.ExitError
	if p.killed && errors.As(p.err, &exit) {
		return nil
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w, see %s", p.Name, p.err, p.log)
	}
	return nil
}

// watch records the most memory that the child has had. The kernel's own figure
// at the end would include the parent's memory at the fork.
func (p *Process) watch() {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		p.peak.Store(max(p.peak.Load(), Memory(strconv.Itoa(p.command.Process.Pid), "VmHWM:")))
		select {
		case <-ticker.C:
		case <-p.ended:
			return
		}
	}
}

// Memory returns a field of the kernel's status of a process: VmRSS, its memory
// now, or VmHWM, the most that it had. In kilobytes; 0 if it can't be read.
func Memory(process, field string) int64 {
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

// RSS returns the most memory that the child has had, in megabytes.
func (p *Process) RSS() float64 { return float64(p.peak.Load()) / 1024 }

// String returns the name and the process id.
func (p *Process) String() string { return p.Name + " (" + strconv.Itoa(p.command.Process.Pid) + ")" }
