// Command bench measures eventbus beside other Kafka clients: the same event, the
// same work, on one Apache Kafka. It prints tables and one JSON object per row,
// and rewrites the figures in docs/performance.md, which says how to read them.
//
//	go run .                           # the whole campaign, about an hour
//	go run . -quick                    # one short round of three clients
//	go run . -for 8m -out DIR          # a segment; the same again goes on
//	go run . -workload async -peer eventbus -rounds 1 -profile cpu.prof
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// brokersVariable names a running cluster, as for the tests.
const brokersVariable = "EVENTBUS_TEST_BROKERS"

// flags holds the command's flags.
type flags struct {
	// These three are lists of names, separated by commas; empty is all.
	brokers, workloads, peers string
	// out and docs are paths; empty is none.
	out, docs, profile string
	// rounds and others are numbers of rounds.
	rounds, others int
	seed           uint64
	quick, growth  bool
	// proxy is the round trip of a proxy to hold, instead of measuring; 0 is none.
	proxy time.Duration
	// segment is the time after which no measurement begins; 0 means no bound.
	segment time.Duration
}

// parse reads the flags, and derives the defaults that depend on other flags.
func parse() flags {
	var f flags
	flag.StringVar(&f.brokers, "brokers", os.Getenv(brokersVariable), "`addresses`, comma-separated; without any a Kafka is started for the campaign")
	flag.StringVar(&f.workloads, "workload", "", "only these `workloads`, comma-separated")
	flag.StringVar(&f.peers, "peer", "", "only these `clients`, comma-separated")
	flag.IntVar(&f.rounds, "rounds", 9, "rounds; nine give a 95 % interval")
	flag.IntVar(&f.others, "others", 3, "rounds of the clients about which nothing is claimed; all -rounds of those that -peer names")
	flag.BoolVar(&f.quick, "quick", false, "one short round of eventbus, franz-go and kafka-go; docs stay as they are unless -docs is given")
	flag.BoolVar(&f.growth, "growth", false, "also how costs grow with partitions, keys and events")
	flag.DurationVar(&f.segment, "for", 0, "stop after about this long; the same command with the same -out goes on")
	flag.StringVar(&f.out, "out", "", "`directory` that keeps the measurements, so that a campaign can go on, and the rows")
	flag.StringVar(&f.docs, "docs", filepath.Join("..", "docs", "performance.md"), "`document` whose figures are rewritten; empty: none")
	flag.DurationVar(&f.proxy, "proxy", 0, "measure nothing, but hold a proxy of this `round trip` for other clients, where "+proxyVariable+" says, until interrupted")
	flag.Uint64Var(&f.seed, "seed", 1, "seed of the order in which clients follow each other")
	flag.StringVar(&f.profile, "profile", "", "`file` for a CPU profile of the measurement, the last if there are several")
	flag.Parse()
	// A flag that was given keeps its value, even if that is the default one.
	said := make(map[string]bool)
	flag.Visit(func(g *flag.Flag) { said[g.Name] = true })
	if f.quick && !said["rounds"] {
		f.rounds = 1
	}
	if f.peers != "" && !said["others"] {
		f.others = f.rounds
	}
	// A part of the campaign would write only a part of the tables.
	if (f.quick || f.workloads != "" || f.peers != "") && f.out == "" && !said["docs"] {
		f.docs = ""
	}
	return f
}

// A child process is this program with a task in its environment.
func main() {
	// Before flags are read: a child gets none.
	if text := os.Getenv(taskVariable); text != "" {
		if err := serve(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, parse(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures, and then reports everything that the log has.
func run(ctx context.Context, f flags, out io.Writer) error {
	if f.proxy > 0 {
		return holdProxy(ctx, f.proxy, out)
	}
	// Names are checked before a broker is started for them.
	workloads, err := choose(f.workloads, f.growth, f.quick)
	if err != nil {
		return err
	}
	peers, err := choosePeers(f.peers, f.quick)
	if err != nil {
		return err
	}
	// The same program runs again with brokers, and then gets past this line.
	if f.brokers == "" {
		return withKafka(ctx)
	}
	log, err := openLog(inside(f.out, "measurements.jsonl"))
	if err != nil {
		return err
	}
	defer log.close()
	cluster, err := connect(strings.Split(f.brokers, ","))
	if err != nil {
		return err
	}
	defer cluster.close()
	// This also shows whether the brokers answer, before anything is measured.
	version, err := cluster.version(ctx)
	if err != nil {
		return fmt.Errorf("asking %s: %w", f.brokers, err)
	}
	c := campaign{
		cluster: cluster, workloads: workloads, peers: peers, rounds: f.rounds, others: f.others, quick: f.quick, seed: f.seed,
		log: log, progress: os.Stderr,
		measure: func(ctx context.Context, t task) (measurement, error) {
			if p, _ := peer.Named(t.Peer); p.Tool && !t.Fill {
				return runTool(ctx, t)
			}
			// A profile does not include filling.
			if !t.Fill {
				t.Profile = f.profile
			}
			return spawn(ctx, t)
		},
	}
	if f.segment > 0 {
		c.until = time.Now().Add(f.segment)
	}
	// What was measured is reported even if some of it failed or is missing.
	missing, failure := c.run(ctx)
	// After an interrupt too: the topics would stay on the brokers.
	c.end(context.WithoutCancel(ctx))
	if err := report(f, out, log, version); err != nil {
		return errors.Join(failure, err)
	}
	if failure == nil && missing > 0 {
		failure = fmt.Errorf("%d measurements are missing: the same command with the same -out goes on", missing)
	}
	return failure
}

// report prints the tables and rewrites the document.
func report(f flags, out io.Writer, log *measurementLog, version string) error {
	// All workloads: the log may have more than this command asked for.
	all, err := choose("", true, f.quick)
	if err != nil {
		return err
	}
	rows := log.rows(all)
	if len(rows) == 0 {
		return errors.New("nothing was measured")
	}
	// The document says how many rounds its row with the most has.
	rounds := slices.MaxFunc(rows, func(a, b row) int { return a.Rounds - b.Rounds }).Rounds
	var measured, chart, lines bytes.Buffer
	measured.WriteString(describe(version, rounds, log))
	if err := writeChart(&chart, log, rows); err != nil {
		return err
	}
	fmt.Fprintf(&measured, "\n![The figures as bars](%s)\n", chartName)
	writeTables(&measured, log, all, rows)
	for _, r := range rows {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
	}
	fmt.Fprintf(out, "%s\n%s", measured.String(), lines.String())
	if f.out != "" {
		// Written as a whole each time, since rows follow from the log.
		if err := os.WriteFile(inside(f.out, "rows.jsonl"), lines.Bytes(), 0o644); err != nil {
			return err
		}
	}
	// Write the document last: the figures are printed even if it can't be written.
	if f.docs == "" {
		return nil
	}
	return rewrite(f.docs, measured.String(), chart.Bytes())
}

// inside returns the path of a file in dir, and "" if dir is empty.
func inside(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// withKafka runs this program again, with a Kafka broker that ends when it
// does.
func withKafka(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, filepath.Join("..", "scripts", "kafka.sh"), append([]string{"run", "--", program}, os.Args[1:]...)...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	// For workloads that are far away; the program that runs again inherits it.
	if os.Getenv(proxyVariable) == "" {
		ports, err := freePorts()
		if err != nil {
			return err
		}
		child.Env = append(os.Environ(), proxyVariable+"="+ports)
	}
	// The script stops the broker when it gets the signal.
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	// The broker gets this long to stop.
	child.WaitDelay = 30 * time.Second
	return child.Run()
}
