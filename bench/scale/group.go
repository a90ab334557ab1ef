package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/bench/internal/meter"
)

// patience bounds each step of the group workload.
const patience = 3 * time.Minute

// used returns a report of what this process has used.
func used() report {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	runtime.GC()
	return report{CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()), ResidentMB: float64(meter.RSS()) / (1 << 20)}
}

// process is a child with members.
type process struct {
	command  *exec.Cmd
	commands io.WriteCloser
	// end is one more than the number of its last member.
	end int
}

// groupRun is one run of the group workload.
type groupRun struct {
	groupSize
	total     int // partitions of the group, retry topics included
	processes []process
	reports   chan report
	reading   sync.WaitGroup
	owners    *owners
	begin     time.Time
}

// runGroup forms a group, restarts some of its members one after another while events arrive, and
// prints how long each step took and whether every event was handled once.
func runGroup(ctx context.Context, f flags) error {
	g := groupRun{groupSize: f.group, total: 2 * f.group.topics * f.group.partitions, reports: make(chan report, 1000), owners: newOwners()}
	var stems []string
	for range g.topics {
		stems = append(stems, stemOf("group"))
	}
	// Create the topics of dead letters and retries first, so that only the group is measured.
	bus, err := create(ctx, f.brokers, g.partitions, stems[0], stems...)
	if err != nil {
		return err
	}
	defer func() { _ = closeBus(ctx, bus) }()
	fmt.Printf("%d topics with %d partitions each and as many of retry topics: %d partitions; %d members in %d processes\n", g.topics, g.partitions, g.total, g.members, g.groupSize.processes)
	g.begin = time.Now()
	if err := g.start(ctx, f.brokers, stems); err != nil {
		return errors.Join(err, g.end())
	}
	err = g.settle(ctx, "every partition has one owner")
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	published := make(chan int, 1)
	if err == nil {
		go func() { published <- g.publish(publishing, bus, stems) }()
		err = g.restartSome(ctx)
		stop()
	}
	if err != nil {
		return errors.Join(err, g.end())
	}
	return g.conclude(ctx, <-published)
}

// start starts all processes.
func (g *groupRun) start(ctx context.Context, brokers, stems []string) error {
	for n := range g.groupSize.processes {
		first, end := n*g.members/g.groupSize.processes, (n+1)*g.members/g.groupSize.processes
		command, err := childOf(ctx, task{Members: &membersTask{
			Brokers: brokers, Stems: stems, Group: stems[0], First: first, Members: end - first, ConsumerProtocol: g.consumerProtocol,
		}})
		if err != nil {
			return err
		}
		commands, err := command.StdinPipe()
		if err != nil {
			return err
		}
		out, err := command.StdoutPipe()
		if err != nil {
			return err
		}
		if err := command.Start(); err != nil {
			return err
		}
		g.processes = append(g.processes, process{command, commands, end})
		g.reading.Go(func() { g.read(out) })
	}
	return nil
}

// read passes a process's reports on.
func (g *groupRun) read(out io.Reader) {
	lines := json.NewDecoder(bufio.NewReader(out))
	for {
		var r report
		if lines.Decode(&r) != nil {
			return
		}
		g.reports <- r
	}
}

// settle applies reports until every partition has one owner and nothing has changed for a while,
// since more may follow in a rebalance. It prints when that was.
func (g *groupRun) settle(ctx context.Context, what string) error {
	begin, quiet := g.begin, time.Second
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		var settled <-chan time.Time
		if g.owners.single == g.total {
			settled = time.After(quiet)
		}
		select {
		case r := <-g.reports:
			g.owners.apply(r)
		case <-settled:
			fmt.Printf("%.1f s: %s\n", time.Unix(0, g.owners.last()).Sub(begin).Seconds(), what)
			return nil
		case <-deadline.C:
			return fmt.Errorf("%d of %d partitions have one owner after %v", g.owners.single, g.total, patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// restartSome restarts members spread over the group, each once the group is stable.
func (g *groupRun) restartSome(ctx context.Context) error {
	for n := range g.restarts {
		member := n * g.members / max(g.restarts, 1)
		g.begin = time.Now()
		at := slices.IndexFunc(g.processes, func(p process) bool { return member < p.end })
		if err := json.NewEncoder(g.processes[at].commands).Encode(member); err != nil {
			return err
		}
		for restarted := false; !restarted; {
			select {
			case r := <-g.reports:
				g.owners.apply(r)
				restarted = r.Restarted
			case <-time.After(patience):
				return fmt.Errorf("member %d was not restarted within %v", member, patience)
			}
		}
		if err := g.settle(ctx, fmt.Sprintf("member %d restarted, every partition has one owner again", member)); err != nil {
			return err
		}
	}
	return nil
}

// publish publishes at an even rate until ctx ends, to every partition in turn, and returns how
// many events were acknowledged.
func (g *groupRun) publish(ctx context.Context, bus *eventbus.Bus, stems []string) int {
	source, number := event.NewSource(1), 0
	var publishers []*eventbus.Publisher[event.Order]
	for _, stem := range stems {
		publishers = append(publishers, eventbus.NewPublisher(bus, topicOf(stem)))
	}
	var receipts []eventbus.Receipt
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for range max(g.rate/100, 1) {
			receipts = append(receipts, publishers[number%len(stems)].PublishAsync(context.WithoutCancel(ctx), orderFor(source, number, number/len(stems)%g.partitions)))
			number++
		}
		<-tick.C
	}
	for i := range receipts {
		if _, err := receipts[i].Wait(context.WithoutCancel(ctx)); err != nil {
			fmt.Println("publish:", err)
			return 0
		}
	}
	return number
}

// conclude ends the processes, and prints what was handled and what it cost.
func (g *groupRun) conclude(ctx context.Context, published int) error {
	// The last events are in flight, so give the members a moment before they are closed.
	select {
	case <-time.After(3 * time.Second):
	case <-ctx.Done():
	}
	g.begin = time.Now()
	err := g.end()
	fmt.Printf("%.1f s: all members closed at once\n", time.Since(g.begin).Seconds())
	once, again := 0, 0
	for _, times := range g.owners.events {
		if times == 1 {
			once++
		} else {
			again++
		}
	}
	fmt.Printf("%d events published, %d handled once, %d more than once, %d not\n", published, once, again, published-once-again)
	overlaps, example := g.owners.overlaps()
	fmt.Printf("partitions that two members had at a time: %d %s\n", overlaps, example)
	if published == 0 || once != published || overlaps > 0 {
		err = errors.Join(err, errors.New("not every event was handled once by one owner"))
	}
	return err
}

// end closes all members and waits for their processes.
func (g *groupRun) end() error {
	for _, p := range g.processes {
		_ = p.commands.Close()
	}
	go func() {
		g.reading.Wait()
		close(g.reports)
	}()
	for r := range g.reports {
		g.owners.apply(r)
		if r.CPU > 0 {
			fmt.Printf("a process: %.1f s of CPU time, %.0f MB resident\n", r.CPU.Seconds(), r.ResidentMB)
		}
	}
	var errs []error
	for _, p := range g.processes {
		errs = append(errs, p.command.Wait())
	}
	return errors.Join(errs...)
}
