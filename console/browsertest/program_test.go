package browsertest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program is the tool serving the pages, as a process that can be killed.
type program struct {
	command *exec.Cmd
	address string // with the token behind the #
	base    string
}

// build builds the tool.
func build(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "eventbus")
	command := exec.Command("go", "build", "-o", file, ".")
	command.Dir = filepath.Join("..", "..", "cmd", "eventbus")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return file
}

// serve starts the tool and waits for the address that it prints.
func (w *world) serve(t *testing.T, file string, flags ...string) *program {
	t.Helper()
	args := append([]string{"--environment", "Test", "--title", "billing", "--brokers", strings.Join(w.broker.Brokers(), ",")}, flags...)
	for _, admin := range w.admins {
		args = append(args, "--member", admin.URL)
	}
	return start(t, file, w.log, args...)
}

// start starts the tool with flags.
func start(t *testing.T, file string, log io.Writer, flags ...string) *program {
	t.Helper()
	p := &program{command: exec.Command(file, append([]string{"console"}, flags...)...)}
	p.command.Env = append(os.Environ(), "EVENTBUS_ADMIN_TOKEN=between-programs")
	p.command.Stderr = log
	out, err := p.command.StdoutPipe()
	must(t, err)
	must(t, p.command.Start())
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		_ = p.command.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the tool ended: %s", log)
	}
	p.address = strings.TrimSpace(strings.TrimPrefix(line, "Open "))
	p.base, _, _ = strings.Cut(p.address, "#")
	return p
}

// kill ends the process without letting it clean up.
func (p *program) kill(t *testing.T) {
	t.Helper()
	must(t, p.command.Process.Kill())
	_ = p.command.Wait()
}
