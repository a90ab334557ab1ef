// Command scale measures what partitions and members cost: a member of many
// partitions that are idle, beside franz-go's, and a large group that is formed and
// restarted member by member.
//
//	make bench-scale                              # from the root: starts Kafka, some minutes
//	go run ./scale -workload idle -sizes 1,1000
//	go run ./scale -workload group -topics 20 -partitions 300 -members 100 -processes 4
//
// Members run in separate processes, so that their CPU time and memory can be
// measured.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// taskVariable is the environment variable with the task of a child process.
const taskVariable = "EVENTBUS_SCALE_TASK"

// flags holds the command's flags. sizes, lasts and rounds are for the workload idle,
// the rest for group.
type flags struct {
	brokers   []string
	workloads string
	sizes     []int
	lasts     time.Duration
	rounds    int
	group     groupSize
}

// groupSize is the size of the group workload.
type groupSize struct {
	// topics have that many partitions each, and each a retry topic of as many.
	topics, partitions int
	// members are spread over processes; restarts is how many are restarted.
	members, processes, restarts int
	// rate is in events per second.
	rate int
	// consumerProtocol makes the broker assign partitions (KIP-848).
	consumerProtocol bool
}

// parse reads the flags. The environment variable is that of the tests.
func parse() (flags, error) {
	var f flags
	brokers := flag.String("brokers", os.Getenv("EVENTBUS_TEST_BROKERS"), "`addresses` of Kafka, comma-separated")
	sizes := flag.String("sizes", "1,1000,5000", "idle: these `numbers` of partitions, comma-separated")
	flag.StringVar(&f.workloads, "workload", "idle,group", "these `workloads`, comma-separated")
	flag.DurationVar(&f.lasts, "for", 10*time.Second, "idle: how long each member is watched")
	flag.IntVar(&f.rounds, "rounds", 1, "idle: rounds of each")
	flag.IntVar(&f.group.topics, "topics", 20, "group: topics, each with a retry topic")
	flag.IntVar(&f.group.partitions, "partitions", 300, "group: partitions of each topic, and of its retry topic")
	flag.IntVar(&f.group.members, "members", 100, "group: members")
	flag.IntVar(&f.group.processes, "processes", 4, "group: processes that have the members")
	flag.IntVar(&f.group.restarts, "restarts", 10, "group: members that are restarted one after another")
	flag.IntVar(&f.group.rate, "rate", 1000, "group: events per second while members are restarted")
	flag.BoolVar(&f.group.consumerProtocol, "consumer-protocol", false, "group: the protocol of KIP-848")
	flag.Parse()
	if *brokers == "" {
		return f, errors.New("say where Kafka is: -brokers, or make bench-scale")
	}
	f.brokers = strings.Split(*brokers, ",")
	for text := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return f, fmt.Errorf("-sizes: %q is not a number of partitions", text)
		}
		f.sizes = append(f.sizes, n)
	}
	if g := f.group; min(g.topics, g.partitions, g.members, g.processes, g.rate) < 1 || g.restarts > g.members {
		return f, errors.New("the sizes of the group are at least 1, and no more members are restarted than there are")
	}
	return f, nil
}

// A child process is this program with a task in its environment.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if text := os.Getenv(taskVariable); text != "" {
		err = serve(ctx, text)
	} else {
		var f flags
		if f, err = parse(); err == nil {
			err = run(ctx, f)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// run does one workload after the other.
func run(ctx context.Context, f flags) error {
	workloads := map[string]func(context.Context, flags) error{"idle": runIdle, "group": runGroup}
	for name := range strings.SplitSeq(f.workloads, ",") {
		workload := workloads[name]
		if workload == nil {
			return fmt.Errorf("there is no workload %q: use idle and group", name)
		}
		if err := workload(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// task says what a child should do; one field is set.
type task struct {
	Idle    *idleTask
	Members *membersTask
}

// serve is the main function of a child.
func serve(ctx context.Context, text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	if t.Idle != nil {
		return t.Idle.serve(ctx)
	}
	return t.Members.serve(ctx)
}
