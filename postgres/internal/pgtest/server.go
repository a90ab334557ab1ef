// Package pgtest gives tests a PostgreSQL server: the one that all packages of a run
// share, or one for a single test.
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

// Shared returns the address of the server that the whole run uses, or skips the test.
// The go command tests packages in parallel, so a test must not disturb other
// connections to this server; it uses [Start] for that.
func Shared(t testing.TB) string {
	t.Helper()
	address := os.Getenv("EVENTBUS_TEST_POSTGRES")
	if address == "" {
		t.Skip("no PostgreSQL: set EVENTBUS_TEST_POSTGRES, or run scripts/postgres.sh run -- go test ./...")
	}
	return address
}

// Server is a server for a single test, which may restart, freeze and kill it.
type Server struct {
	URL string // postgres://…

	script, cluster string
}

var started atomic.Int64

// Start starts a server that ends with the test. It skips the test with -short, or if
// scripts/postgres.sh did not start the run. The settings are PG_… variables of that
// script, such as "PG_FSYNC=on".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	script := os.Getenv("EVENTBUS_TEST_POSTGRES_SCRIPT")
	if Shared(t); script == "" || testing.Short() {
		t.Skip("no server for this test alone: run scripts/postgres.sh run -- go test ./...")
	}
	// The name extends that of the run's server, so that the script finds what a
	// killed test leaves behind.
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

// Dump writes a dump of the server's database to a file. It skips the test if pg_dump
// is missing or older than the server.
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

// Upgrade moves the server's database into another cluster with pg_upgrade. It skips
// the test if pg_upgrade is missing.
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

// Bouncer starts PgBouncer in transaction mode in front of the server, and returns its
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
	// The random start keeps servers that start at the same time from choosing the
	// same port.
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
