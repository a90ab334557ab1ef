// Package pgtest gives tests a PostgreSQL server: the one that all packages of a
// run share, or one of a test's own.
package pgtest

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// Shared returns the address of the server that the whole run uses, or skips the
// test. The go command tests packages side by side, so no test may do anything to
// this server that another's connections would feel: that is what [Start] is for.
func Shared(t testing.TB) string {
	t.Helper()
	address := os.Getenv("EVENTBUS_TEST_POSTGRES")
	if address == "" {
		t.Skip("no PostgreSQL: set EVENTBUS_TEST_POSTGRES, or run scripts/postgres.sh run -- go test ./...")
	}
	return address
}

// Server is a server of one test's own, which the test may restart, freeze and kill.
type Server struct {
	URL string // postgres://…

	script, cluster string
}

var started atomic.Int64

// Start starts a server that ends with the test. It skips the test where
// scripts/postgres.sh did not start the run, or the run is a short one.
// The settings are PG_… variables of that script, as "PG_FSYNC=on".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	script := os.Getenv("EVENTBUS_TEST_POSTGRES_SCRIPT")
	if Shared(t); script == "" || testing.Short() {
		t.Skip("no server of the test's own: run scripts/postgres.sh run -- go test ./...")
	}
	// Below the name of the run's server, so that the script finds what a killed test leaves.
	s := &Server{script: script, cluster: fmt.Sprintf("%s-%d-%d", os.Getenv("PG_CLUSTER"), os.Getpid(), started.Add(1))}
	t.Cleanup(func() { _ = s.run(nil, "drop").Run() })
	s.URL = s.value(t, s.run(settings, "start"), "EVENTBUS_TEST_POSTGRES")
	return s
}

// Control runs a command of scripts/postgres.sh on the server.
func (s *Server) Control(t testing.TB, args ...string) {
	t.Helper()
	if out, err := s.run(nil, args...).CombinedOutput(); err != nil {
		t.Fatalf("scripts/postgres.sh %v: %v: %s", args, err, out)
	}
}

// Dump writes a dump of the server's database to a file. It skips the test where
// this machine's pg_dump is older than the server, or there is none.
func (s *Server) Dump(t testing.TB, file string) {
	t.Helper()
	out, err := s.run(nil, "dump", file).CombinedOutput()
	if text := string(out); strings.Contains(text, "server version mismatch") || strings.Contains(text, "is missing") {
		t.Skipf("no pg_dump for this server: %s", text)
	}
	if err != nil {
		t.Fatalf("pg_dump: %v: %s", err, out)
	}
}

// Upgrade brings the server's database into another cluster by pg_upgrade. It skips the test
// where there is none.
func (s *Server) Upgrade(t testing.TB) {
	t.Helper()
	out, err := s.run(nil, "upgrade").CombinedOutput()
	if strings.Contains(string(out), "is missing") {
		t.Skipf("no pg_upgrade: %s", out)
	}
	if err != nil {
		t.Fatalf("pg_upgrade: %v: %s", err, out)
	}
}

// Bouncer starts PgBouncer in transaction mode before the server, and returns its
// address. It skips the test where PgBouncer is not installed.
func (s *Server) Bouncer(t testing.TB) string {
	t.Helper()
	if os.Getenv("EVENTBUS_TEST_PGBOUNCER") == "" {
		t.Skip("no PgBouncer: run scripts/postgres.sh run where it is installed")
	}
	return s.value(t, s.run(nil, "pgbouncer"), "EVENTBUS_TEST_PGBOUNCER")
}

func (s *Server) run(settings []string, args ...string) *exec.Cmd {
	command := exec.Command(s.script, args...)
	// Servers that start at the same time look for free ports from different ones on.
	port := fmt.Sprint("PG_PORT=", 20_000+rand.IntN(10_000))
	command.Env = append(append(os.Environ(), "PG_CLUSTER="+s.cluster, port), settings...)
	return command
}

// value runs a command that prints NAME=value and returns the value.
func (s *Server) value(t testing.TB, command *exec.Cmd, name string) string {
	t.Helper()
	var fault bytes.Buffer
	command.Stderr = &fault
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s", command.Args, err, &fault)
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+"="); ok {
			return value
		}
	}
	t.Fatalf("%v printed no %s", command.Args, name)
	return ""
}
