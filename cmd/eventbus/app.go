package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/eventbus-go/eventbus/kafka"
)

// app is one run of the program: what the flags of all commands say, and the
// cluster that they lead to.
type app struct {
	stdin  *bufio.Reader
	stdout io.Writer
	stderr io.Writer
	asks   bool // stdin is a terminal, so questions can be answered
	colour bool // stdout takes colours

	brokers     []string
	config      string
	environment string
	output      string
	yes         bool
	dryRun      bool

	running bool // the command line was understood
	cluster *kafka.Transport
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{
		stdin: bufio.NewReader(stdin), stdout: stdout, stderr: stderr,
		asks:   terminal(stdin),
		colour: terminal(stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

func terminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) //nolint:gosec // a descriptor fits
}

// transport connects to the cluster, once. Its error names the brokers that
// were tried. The app closes what it returns.
func (a *app) transport(ctx context.Context) (*kafka.Transport, error) {
	if a.cluster != nil {
		return a.cluster, nil
	}
	c, err := a.settings()
	if err != nil {
		return nil, err
	}
	t := kafka.New(c.Kafka)
	if _, err := t.Cluster(ctx); err != nil {
		return nil, closing(t, err)
	}
	a.cluster = t
	return t, nil
}

func closing(t *kafka.Transport, err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = t.Close(ctx)
	return err
}

// patience bounds what is done when a command has ended already.
const patience = 5 * time.Second

func (a *app) close() error {
	if a.cluster == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return a.cluster.Close(ctx)
}

// json tells whether the output is for programs.
func (a *app) json() bool { return a.output == "json" }

// complain tells people of trouble.
func (a *app) complain(text string) {
	_, _ = fmt.Fprintf(a.stderr, "eventbus: %s\n", strings.TrimPrefix(text, "eventbus: "))
}

// note tells people, and not programs, how it goes.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, format+"\n", args...)
}

// confirm asks whether to go on with something that can't be undone. With
// --yes it doesn't ask; without a terminal to ask on it refuses.
func (a *app) confirm(format string, args ...any) error {
	if a.yes {
		return nil
	}
	question := fmt.Sprintf(format, args...)
	if !a.asks {
		return misuse("%s: there is no terminal to ask on, so give --yes to do it or --dry-run to look", question)
	}
	_, _ = fmt.Fprintf(a.stderr, "%s? [y/N] ", question)
	answer, err := a.stdin.ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return fmt.Errorf("nothing was changed")
}
