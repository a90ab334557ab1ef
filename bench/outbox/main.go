// Command outbox measures the outbox on PostgreSQL beside Watermill's SQL publisher and
// forwarder, and the inbox beside transactions without one, in one run on the same
// servers. Its workloads are
//
//	drain   the rate at which a relay sends a backlog
//	follow  the delay from a transaction to a reader of the topic
//	write   the rate of transactions that write one event
//	inbox   the rate of events that pass an inbox
//
//	make bench-outbox                       # from the root: starts both servers, about half an hour
//	go run ./outbox -workload drain -rounds 1
//
// In each round of a workload every system has its turn, so that a machine that is busy
// for a while slows all of them. Figures are medians over the rounds; ratios are taken
// round by round.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

// flags holds the command's flags. rows and peerRows are sizes of drain, writers and rate
// those of follow. lasts is how long each measurement of the other workloads runs; a
// drain ends with its backlog.
type flags struct {
	database, brokers string
	workloads         string
	rounds            int
	rows, peerRows    int
	writers, rate     int
	lasts             time.Duration
}

// parse returns the flags. The servers default to those of the tests, which two
// environment variables name.
func parse() flags {
	var f flags
	flag.StringVar(&f.database, "database", os.Getenv("EVENTBUS_TEST_POSTGRES"), "`address` of a PostgreSQL database, whose schema bench_outbox is replaced")
	flag.StringVar(&f.brokers, "brokers", os.Getenv("EVENTBUS_TEST_BROKERS"), "comma-separated `addresses` of Kafka brokers")
	flag.StringVar(&f.workloads, "workload", "drain,follow,write,inbox", "comma-separated `workloads` to measure, in this order")
	flag.IntVar(&f.rounds, "rounds", 5, "number of rounds of each workload")
	flag.IntVar(&f.rows, "rows", 500_000, "rows of the backlog in drain")
	flag.IntVar(&f.peerRows, "peer-rows", 0, "rows of Watermill's backlog in drain; 0 means as many as -rows")
	flag.IntVar(&f.writers, "writers", 100, "concurrent writers in follow")
	flag.IntVar(&f.rate, "rate", 500, "transactions per second of all writers in follow together")
	flag.DurationVar(&f.lasts, "for", 10*time.Second, "how long each measurement of follow, write and inbox runs")
	flag.Parse()
	// Fewer rows show the rate of a slow relay just as well, in less time.
	if f.peerRows == 0 {
		f.peerRows = f.rows
	}
	return f
}

func main() {
	// On an interrupt the relay stops in order, and the bus and the pool are closed.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, parse()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run runs the workloads in the order of the flag, and prints the figures of each after
// its last round. An error ends the run without the figures of its workload.
func run(ctx context.Context, f flags) error {
	if f.database == "" || f.brokers == "" {
		return errors.New("-database and -brokers are required; make bench-outbox starts both servers")
	}
	b, err := newBed(ctx, f)
	if err != nil {
		return err
	}
	defer b.close()
	// The conditions come first, so that an interrupted run has stated them too.
	fmt.Println(b.describe())
	// Each function runs one round of a workload, with all systems.
	turns := map[string]func(context.Context, *results) error{"drain": b.drain, "follow": b.follow, "write": b.write, "inbox": b.inbox}
	for _, name := range strings.Split(f.workloads, ",") {
		turn := turns[name]
		// An unknown name ends the run only here, after the workloads before it.
		if turn == nil {
			return fmt.Errorf("there is no workload %q: use drain, follow, write or inbox", name)
		}
		// Medians and ratios need the figures of all rounds together.
		found := newResults(name)
		for range f.rounds {
			if err := turn(ctx, found); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		found.print(os.Stdout)
	}
	return nil
}
