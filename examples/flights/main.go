// Flights shows the event bus with real events. An airport publishes every
// flight that left New York City in January 2013, and a delay board handles
// them. At the end the board's totals stand beside those of the source.
//
// Without --brokers it runs on a broker inside the process. It exits with 0 if
// all totals are equal, 1 if something differs or fails, 2 for wrong flags, and
// 130 or 143 when SIGINT or SIGTERM stopped it before the end.
//
// With --otlp the spans and metrics of its services go to a collector. With
// --metrics Prometheus can fetch the metrics for as long as the program runs.
//
// The files, in the order of reading: main (flags, exit codes), run (one run
// from start to report), airport (publishing), board (handling), poison
// (malformed records), ledger and state (continuing a stopped run), source and
// tally (what is compared), report, progress, telemetry, connect.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
)

func main() {
	os.Exit(command(os.Args[1:]))
}

// Exit codes, so that a script can tell a difference from a mistyped flag.
const (
	exitEqual   = 0
	exitDiffers = 1
	exitUsage   = 2
	exitSignal  = 128 // and the signal's number
)

// command is the program without its process.
func command(args []string) int {
	s, err := parse(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitEqual
	// Everything else that ended the run early is a failure, a drain that took
	// too long among them.
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, err)
		return exitUsage
	}
	s.stdout, s.stderr, s.connect = os.Stdout, os.Stderr, connect
	s.terminal = term.IsTerminal(int(os.Stderr.Fd())) //nolint:gosec // file descriptors are small

	// NotifyContext would not say which signal it was, and the exit code
	// depends on it.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		received := <-signals
		// From now on a signal has its usual effect: the second one ends the
		// process at once.
		signal.Stop(signals)
		cancel(stopSignal{received})
	}()
	return execute(ctx, s)
}

// stopSignal is the cause with which a signal cancels the run.
type stopSignal struct{ os.Signal }

func (s stopSignal) Error() string { return s.String() }

// execute runs the demonstration and prints its report. It returns the exit
// code.
func execute(ctx context.Context, s settings) int {
	r, err := run(ctx, s)
	if r != nil {
		printed := r.print
		if s.json {
			printed = r.printJSON
		}
		err = errors.Join(err, printed(s.stdout))
	}
	var stopped stopSignal
	switch {
	case errors.Is(err, errStopped) && errors.As(context.Cause(ctx), &stopped):
		_, _ = fmt.Fprintln(s.stderr, "flights:", err)
		if s.state != "" {
			_, _ = fmt.Fprintf(s.stderr, "run it again with the same flags to go on\n")
		}
		number, _ := stopped.Signal.(syscall.Signal)
		return exitSignal + int(number)
	case err != nil:
		_, _ = fmt.Fprintln(s.stderr, "flights:", err)
		return exitDiffers
	case !r.equal():
		_, _ = fmt.Fprintln(s.stderr, "flights: what the events say differs from what the source says")
		return exitDiffers
	}
	return exitEqual
}

// parse reads the flags. Its errors say what to write instead.
func parse(args []string, usage io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("flights", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.Usage = func() {
		_, _ = fmt.Fprintln(usage, "Flights publishes real flights as typed events and compares what their handler counted with the source.\n\nFlags:")
		flags.PrintDefaults()
	}
	brokers := flags.String("brokers", "", "`addresses` of a Kafka cluster, host:port with commas between; none: a broker inside the process")
	flags.StringVar(&s.file, "file", "", "gzipped CSV `file` of flights in place of the excerpt that is built in")
	flags.IntVar(&s.month, "month", 1, "`month` to publish, 0 for all")
	flags.BoolVar(&s.json, "json", false, "print one JSON object in place of the table")
	flags.StringVar(&s.state, "state", "", "`directory` of the ledgers, with which a stopped run goes on where it was")
	flags.IntVar(&s.poison, "poison", 3, "`number` of malformed records to slip in")
	flags.Var(&s.otlp, "otlp", "send spans and metrics by OTLP over HTTP, to "+defaultOTLP+" or to --otlp=`URL`")
	flags.StringVar(&s.metrics, "metrics", "", "serve /metrics for Prometheus at `host:port`, a loopback address without a host, until Ctrl-C")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("flights: %q is not a flag", flags.Arg(0))
	case s.month < 0 || s.month > 12:
		return s, fmt.Errorf("flights: --month %d: use 1 to 12, or 0 for all", s.month)
	case s.poison < 0:
		return s, fmt.Errorf("flights: --poison %d: use 0 or more", s.poison)
	}
	for broker := range strings.SplitSeq(*brokers, ",") {
		if broker = strings.TrimSpace(broker); broker != "" {
			s.brokers = append(s.brokers, broker)
		}
	}
	return s, nil
}
