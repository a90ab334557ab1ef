// Chaos is the fault campaign. Publishers and consumers run as processes of
// their own on three real brokers. They are killed, stopped, frozen and cut
// off, and so are the brokers and the network. Afterwards what every process
// wrote into a ledger is compared with the log as another client reads it.
//
//	go run ./chaos                 the campaign: every scenario once, about 30 minutes
//	go run ./chaos -quick          its shortest form, a few minutes
//	go run ./chaos -long           four rounds of it, about two hours; run again, it continues
//	go run ./chaos -soak 30m       a steady load for that long, without faults
//	go run ./chaos -schedule       what a seed would do, and when
//	go run ./chaos -only 'storm'   the scenarios whose names match
//
// After each scenario it prints one line of JSON, and appends it to the result
// file. It exits with 1 if anything was lost, repeated without a reason, out of
// order, or stood still for longer than the scenario allows, and after a soak
// if a process has grown.
//
// The files:
//
//	main, campaign, result      flags, segments, the verdict, the result file
//	scenario, scenarios         what a scenario is, and the list of all
//	storms, outages, intrusion, flights, soak, joining, versions, deployments  the scenarios and their bounds
//	action, perform, fencing    what is done to processes and brokers, and when
//	stage, task                 the processes of a scenario
//	member, publisher, foreign, intruder, commits, event  what the processes do
//	ledger, log, sample, pulse  what is recorded
//	check, progress             judging it
//	internal/cluster            the brokers, through another client, and the network
//	internal/child              starting, commanding and watching a process
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus/chaos/internal/cluster"
)

// A child process is this program with a task in its environment.
func main() {
	if text := os.Getenv(taskVariable); text != "" {
		if err := serve(text); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, s, os.Stdout, os.Stderr)
	}
	switch {
	// The flag package has printed the help.
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// settings holds the flags.
type settings struct {
	// At most one of quick and long is set.
	quick, long, schedule, keep bool
	// soak is the length of a soak, 0 for a campaign.
	soak time.Duration
	// seed is the first one; a long campaign counts on from it.
	seed uint64
	// only matches the names of the scenarios to run.
	only *regexp.Regexp
	// out is the path of the result file.
	out string
	// root is the directory of the repository.
	root string
}

// rounds is how many times a long campaign goes through all scenarios, with
// another seed each time.
const rounds = 4

// parse reads the flags. Its errors say which flags exclude each other.
func parse(args []string) (s settings, err error) {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.BoolVar(&s.quick, "quick", false, "the shortest form of the most important scenarios")
	flags.BoolVar(&s.long, "long", false, fmt.Sprintf("%d rounds of all scenarios, about two hours; what the result file has is not run again", rounds))
	flags.DurationVar(&s.soak, "soak", 0, "instead of the campaign, a steady load without faults for this `time`, and no process may grow")
	flags.BoolVar(&s.schedule, "schedule", false, "print what the seed would do, and when")
	flags.BoolVar(&s.keep, "keep", false, "keep the ledgers and logs of scenarios that went well too")
	flags.Uint64Var(&s.seed, "seed", 1, "`number` from which all chance comes")
	only := flags.String("only", "", "run the scenarios whose names match this `pattern`")
	flags.StringVar(&s.out, "out", "", "result `file`; default .cache/chaos/{quick,campaign,long,soak}.jsonl")
	flags.StringVar(&s.root, "root", ".", "`directory` of the repository")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.only, err = regexp.Compile(*only); err != nil {
		return s, err
	}
	if s.quick && s.long {
		return s, errors.New("-quick and -long exclude each other")
	}
	if s.soak != 0 && (s.quick || s.long || *only != "") {
		return s, errors.New("-soak excludes -quick, -long and -only")
	}
	if s.soak != 0 && s.soak < leastSoak {
		return s, fmt.Errorf("-soak %s is too short to tell growth from a warm-up: %s at least", s.soak, leastSoak)
	}
	if s.out == "" {
		name := "campaign"
		switch {
		case s.quick:
			name = "quick"
		case s.long:
			name = "long"
		case s.soak > 0:
			name = "soak"
		}
		s.out = filepath.Join(s.root, ".cache", "chaos", name+".jsonl")
	}
	return s, nil
}

// chosen returns the scenarios to run and the seeds to run each with.
// The scenarios have their defaults filled in.
func (s *settings) chosen() (scenes []scenario, seeds []uint64) {
	if s.soak > 0 {
		return []scenario{steadyLoad(s.soak).defaults()}, []uint64{s.seed}
	}
	for _, one := range scenarios() {
		// A scenario that is requested by name also runs in a quick campaign, in its quick
		// form.
		if s.only.MatchString(one.name) && (one.quick || !s.quick || s.only.String() != "") {
			scenes = append(scenes, one.defaults())
		}
	}
	seeds = []uint64{s.seed}
	for i := 1; s.long && i < rounds; i++ {
		seeds = append(seeds, s.seed+uint64(i)) //nolint:gosec // small
	}
	return scenes, seeds
}

// run runs the campaign on a cluster of its own. Its error names the scenarios
// that failed.
func run(ctx context.Context, s settings, out, notes io.Writer) error {
	scenes, seeds := s.chosen()
	if len(scenes) == 0 {
		return fmt.Errorf("no scenario matches %q", s.only)
	}
	if s.schedule {
		for _, seed := range seeds {
			for _, one := range scenes {
				printSchedule(out, one, seed, s.quick)
			}
		}
		return nil
	}
	file, err := openResults(s.out, s.long)
	if err != nil {
		return err
	}
	c, err := cluster.Start(ctx, s.root)
	if err != nil {
		return err
	}
	defer c.End() //nolint:errcheck // nothing of it is kept
	campaign := campaign{settings: s, cluster: c, results: file, out: out, notes: notes}
	for _, seed := range seeds {
		for _, one := range scenes {
			// A long campaign that was interrupted continues with the segments
			// that its file lacks.
			if file.done[segment{one.name, seed}] {
				continue
			}
			// An error is the campaign's own: a scenario that fails is in campaign.failed.
			if err := campaign.segment(ctx, one, seed); err != nil {
				return err
			}
		}
	}
	if len(campaign.failed) > 0 {
		return fmt.Errorf("%d scenarios failed: %s; results in %s", len(campaign.failed), strings.Join(campaign.failed, ", "), s.out)
	}
	return nil
}

// printSchedule prints what a scenario would do, without doing it.
func printSchedule(out io.Writer, s scenario, seed uint64, quick bool) {
	_, _ = fmt.Fprintf(out, "%s, seed %d: %s\n", s.name, seed, s.about)
	for _, a := range s.schedule(seed, quick) {
		_, _ = fmt.Fprintln(out, "  ", a)
	}
}

// schedule returns the actions that a seed gives, in order of time.
func (s *scenario) schedule(seed uint64, quick bool) []action {
	if s.plan == nil {
		return nil
	}
	p := &plan{Rand: random(seed, s.name), quick: quick}
	s.plan(p)
	return p.sorted()
}

// sizedLoad returns the number of events of a quick segment: the load lasts as
// long as the actions, and a little longer.
func (s *scenario) sizedLoad(actions []action) int {
	last := 8 * time.Second
	for _, a := range actions {
		last = max(last, a.at+a.lasts+4*time.Second)
	}
	return min(s.load.Events, s.load.Rate*int(last.Seconds()))
}
