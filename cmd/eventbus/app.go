package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
)

// app is one run of the program: its streams, the values of the flags that all
// commands share, and the connection to the cluster. It is used by one
// goroutine.
type app struct {
	stdin  *bufio.Reader
	stdout io.Writer
	stderr io.Writer
	// stdin is a terminal, so that a question can be answered.
	asks bool
	// stdout is a terminal that shows colours; NO_COLOR and TERM=dumb turn them
	// off.
	colour bool

	// These are the flags of all commands; each is empty where it is not given.
	brokers     []string
	config      string
	environment string
	output      string
	yes         bool
	dryRun      bool
	// embedded is set where the cluster is in this process.
	embedded bool

	// running is set once the command line was understood: errors before that
	// are misuse.
	running bool
	// cluster is nil until a command needs it: help and completion work without
	// one.
	cluster *kafka.Transport
	// dead is nil until a command needs dead letters.
	dead *redrive.Client
}

// newApp returns an app on the given streams. It connects to nothing, so that help
// and completion cost no round trip. Colours follow no-color.org: any non-empty
// NO_COLOR turns them off.
func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{
		stdin: bufio.NewReader(stdin), stdout: stdout, stderr: stderr,
		// Judged by the streams as they were given: a buffered reader is not a file.
		asks:   terminal(stdin),
		colour: terminal(stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// terminal reports whether a stream is a terminal. The streams of tests are
// not.
func terminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) //nolint:gosec // a descriptor fits
}

// transport returns the connection to the cluster, which it makes the first
// time. Its error names the brokers that were tried. The app closes the
// connection.
func (a *app) transport(ctx context.Context) (*kafka.Transport, error) {
	// Unguarded by a lock: one goroutine uses the app.
	if a.cluster != nil {
		return a.cluster, nil
	}
	// Read late, so that commands that need no cluster work without a configuration.
	c, err := a.settings()
	if err != nil {
		return nil, err
	}
	// New does not connect. Asking for the cluster shows a wrong address now,
	// with an error that names it, instead of in the middle of the command.
	t := kafka.New(c.Kafka)
	if _, err := t.Cluster(ctx); err != nil {
		return nil, closing(t, err)
	}
	// The connection becomes the app's only now that it is of use: one that failed was
	// closed above, and close must not close it a second time.
	a.cluster = t
	return t, nil
}

// closing closes a connection that is of no use and returns err: the first
// error is the one to act on.
func closing(t *kafka.Transport, err error) error {
	// Not the command's context, which may be what ended the call that failed.
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	// An error of Close says nothing that err does not.
	_ = t.Close(ctx)
	return err
}

// closeTimeout bounds cleaning up after a command has ended. The command's own
// context may have been cancelled by Ctrl-C by then.
const closeTimeout = 5 * time.Second

// close closes the connection, if there was one.
func (a *app) close() error {
	if a.cluster == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return a.cluster.Close(ctx)
}

// json reports whether the output is for programs.
// It is meaningful once the flags are parsed; before that the output is for people.
func (a *app) json() bool { return a.output == "json" }

// confirm asks whether to go on with something that can't be undone. With --yes
// it does not ask. Without a terminal to ask on it refuses: a script that
// forgot --yes must not hang, and must not delete. The end of ctx ends the question.
func (a *app) confirm(ctx context.Context, format string, args ...any) error {
	// Before the terminal is looked at: a script gives --yes and has none.
	if a.yes {
		return nil
	}
	// The arguments may come from a topic, a group or a catalogue: an escape
	// sequence in them could rewrite the very question that the operator answers.
	question := fmt.Sprintf(format, visibleValues(args)...)
	if !a.asks {
		return misuse("%s: there is no terminal to ask on, so give --yes to do it or --dry-run to look", question)
	}
	// The question goes to stderr, since stdout may be piped into another program.
	_, _ = fmt.Fprintf(a.stderr, "%s? [y/N] ", question)
	// A terminal's reader knows no context: the goroutine that waits for it ends with the
	// program.
	var answer string
	read := make(chan error, 1)
	go func() {
		var err error
		answer, err = a.stdin.ReadString('\n')
		read <- err
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	// The end of the input counts as no.
	case err := <-read:
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading the answer: %w", err)
		}
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	// No is a failure for the exit code: what was asked for did not happen, and a
	// script must not go on as if it had.
	return fmt.Errorf("nothing was changed")
}
