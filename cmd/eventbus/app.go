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
	// asks is set if stdin is a terminal, so that a question can be answered.
	asks bool
	// colour is set if stdout is a terminal that shows colours; NO_COLOR and
	// TERM=dumb turn them off.
	colour bool

	// The flags of all commands; each is empty if it is not given.
	brokers     []string
	config      string
	environment string
	output      string
	yes         bool
	dryRun      bool
	// embedded is set if the cluster runs in this process.
	embedded bool

	// running is set once the command line has been understood: earlier errors are
	// misuse.
	running bool
	// cluster is nil until a command needs it: help and completion work without
	// one.
	cluster *kafka.Transport
	// dead is nil until a command needs dead letters.
	dead *redrive.Client
}

// newApp returns an app on the given streams. It connects to nothing, so that help
// works without a cluster. Colours follow no-color.org: any non-empty NO_COLOR turns
// them off.
func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{
		stdin: bufio.NewReader(stdin), stdout: stdout, stderr: stderr,
		// The streams are checked as they were given: a buffered reader is not a file.
		asks:   terminal(stdin),
		colour: terminal(stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// terminal reports whether a stream is a terminal.
func terminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) //nolint:gosec // a descriptor fits
}

// transport returns the connection to the cluster, and makes it on the first call.
// Its error names the brokers that were tried. The app closes the connection.
func (a *app) transport(ctx context.Context) (*kafka.Transport, error) {
	// No lock is needed: one goroutine uses the app.
	if a.cluster != nil {
		return a.cluster, nil
	}
	// Read only now, so that commands that need no cluster work without a configuration.
	c, err := a.settings()
	if err != nil {
		return nil, err
	}
	// New does not connect. Asking for the cluster reports a wrong address now, by an error
	// that names it, rather than in the middle of the command.
	t := kafka.New(c.Kafka)
	if _, err := t.Cluster(ctx); err != nil {
		return nil, closing(t, err)
	}
	// Set only now: closing has closed a connection that failed, and close must not close it
	// again.
	a.cluster = t
	return t, nil
}

// closing closes a connection that is not needed and returns err, which is the error to
// act on.
func closing(t *kafka.Transport, err error) error {
	// Not the command's context, whose end may have caused the error.
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	// An error of Close adds nothing to err.
	_ = t.Close(ctx)
	return err
}

// closeTimeout bounds cleaning up after a command. Ctrl-C may have canceled the
// command's own context by then.
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

// json reports whether the output is for programs. It must not be called before the flags
// are parsed.
func (a *app) json() bool { return a.output == "json" }

// confirm asks before something that can't be undone. With --yes it does not ask. Without
// a terminal it refuses: a script that forgot --yes must neither hang nor delete. It
// returns early if ctx ends.
func (a *app) confirm(ctx context.Context, format string, args ...any) error {
	// Checked before the terminal: a script gives --yes and has none.
	if a.yes {
		return nil
	}
	// The arguments may come from a topic, a group or a catalogue: an escape sequence in them
	// could rewrite the question that the operator answers.
	question := fmt.Sprintf(format, visibleValues(args)...)
	if !a.asks {
		return misuse("%s: there is no terminal to ask on, so give --yes to do it or --dry-run to look", question)
	}
	// The question goes to stderr, since stdout may be piped into another program.
	_, _ = fmt.Fprintf(a.stderr, "%s? [y/N] ", question)
	// Reading from a terminal takes no context: this goroutine may wait until the program
	// ends.
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
	// No is a failure for the exit code: nothing was done, and a script must not go on as if
	// it had been.
	return fmt.Errorf("nothing was changed")
}
