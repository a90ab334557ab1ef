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
type flags struct {
	database, brokers string
	workloads         string
	rounds            int
	rows, peerRows    int
	writers, rate     int
	lasts             time.Duration
}

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
	if f.peerRows == 0 {
		f.peerRows = f.rows
	}
	return f
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, parse()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags) error {
	if f.database == "" || f.brokers == "" {
		return errors.New("say where PostgreSQL and Kafka are: -database and -brokers, or make bench-outbox")
	}
	b, err := newBed(ctx, f)
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Println(b.describe())
	turns := map[string]func(context.Context, *results) error{"drain": b.drain, "follow": b.follow, "write": b.write, "inbox": b.inbox}
	for _, name := range strings.Split(f.workloads, ",") {
		turn := turns[name]
		if turn == nil {
			return fmt.Errorf("there is no workload %q: use drain, follow, write and inbox", name)
		}
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
