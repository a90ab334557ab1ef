// Command outbox measures the outbox and the inbox on PostgreSQL beside
// Watermill's SQL subscriber and forwarder, in one run on the same servers.
//
//	make bench-outbox                       # from the root: starts both servers, about half an hour
//	go run ./outbox -workload drain -rounds 1
//
// In each round every system has its turn at every workload, so that a machine that
// is busy for a while slows all of them. Figures are medians over the rounds; ratios
// are taken round by round.
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

// flags holds the command's flags.
// rows and peerRows are sizes of drain, writers and rate those of follow. lasts is the
// length of a turn of every workload but drain, which ends by itself.
type flags struct {
	database, brokers string
	workloads         string
	rounds            int
	rows, peerRows    int
	writers, rate     int
	lasts             time.Duration
}

// parse reads the flags. The environment variables are those of the tests.
func parse() flags {
	var f flags
	flag.StringVar(&f.database, "database", os.Getenv("EVENTBUS_TEST_POSTGRES"), "`address` of a PostgreSQL, whose schema bench_outbox is replaced")
	flag.StringVar(&f.brokers, "brokers", os.Getenv("EVENTBUS_TEST_BROKERS"), "`addresses` of Kafka, comma-separated")
	flag.StringVar(&f.workloads, "workload", "drain,follow,write,inbox", "these `workloads`, comma-separated")
	flag.IntVar(&f.rounds, "rounds", 5, "rounds of each")
	flag.IntVar(&f.rows, "rows", 500_000, "rows of the backlog that is drained")
	flag.IntVar(&f.peerRows, "peer-rows", 0, "rows of Watermill's backlog, for its rate; 0: -rows")
	flag.IntVar(&f.writers, "writers", 100, "writers that are followed")
	flag.IntVar(&f.rate, "rate", 500, "transactions a second of all the writers that are followed")
	flag.DurationVar(&f.lasts, "for", 10*time.Second, "how long a turn of the other workloads lasts")
	flag.Parse()
	// Fewer rows show the rate of a slow relay as well, in less time.
	if f.peerRows == 0 {
		f.peerRows = f.rows
	}
	return f
}

func main() {
	// An interrupt ends the relays in order, and the pool with them.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, parse()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run does one workload after the other, and prints each when its rounds are over. An
// error ends the run without the figures of its workload.
func run(ctx context.Context, f flags) error {
	if f.database == "" || f.brokers == "" {
		return errors.New("say where PostgreSQL and Kafka are: -database and -brokers, or make bench-outbox")
	}
	// Both servers are there before anything is said about them.
	b, err := newBed(ctx, f)
	if err != nil {
		return err
	}
	defer b.close()
	// First, so that a run which is interrupted has said what its figures hold for.
	fmt.Println(b.describe())
	// A turn is one round of a workload, by all systems.
	turns := map[string]func(context.Context, *results) error{"drain": b.drain, "follow": b.follow, "write": b.write, "inbox": b.inbox}
	for _, name := range strings.Split(f.workloads, ",") {
		turn := turns[name]
		// An unknown name ends the run only when its turn comes.
		if turn == nil {
			return fmt.Errorf("there is no workload %q: use drain, follow, write and inbox", name)
		}
		// One set of results for all rounds: medians and ratios need them together.
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
