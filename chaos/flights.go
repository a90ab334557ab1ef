package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/chaos/internal/cluster"
)

// flights runs the example flights, real flights in and totals out, while a
// broker dies and comes back. The example itself compares the totals.
func flights() scenario {
	return scenario{
		name:  "flights",
		about: "the flights example, whose totals must come out equal, while a broker dies and comes back",
		run:   runFlights,
	}
}

// runFlights builds the example, from its own module, and runs it.
func runFlights(ctx context.Context, t *stage) (*result, error) {
	// Build it instead of using go run, so that the process can be ended.
	program := filepath.Join(t.dir, "flights")
	build := exec.CommandContext(ctx, "go", "build", "-C", "examples", "-o", program, "./flights")
	build.Dir = t.root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the example: %w: %s", err, out)
	}
	log, err := os.Create(filepath.Join(t.dir, "flights.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// The only random choice comes from the seed.
	broker := random(t.seed, t.scenario.name).IntN(cluster.Brokers) + 1
	var out strings.Builder
	command := exec.CommandContext(ctx, program, "--json", "--brokers", strings.Join(t.cluster.Addresses(), ","))
	command.Stdout, command.Stderr = &out, log
	began := time.Now()
	if err := command.Start(); err != nil {
		return nil, err
	}
	// Report these at the end: wait for the example in any case.
	faults := t.script(ctx, "kill", broker)
	t.say("broker %d killed", broker)
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	faults = errors.Join(faults, t.script(ctx, "restart", broker))
	healed := time.Now()
	t.say("broker %d is back after %s", broker, healed.Sub(began).Round(time.Second))
	// The example compares its own totals, and its exit code says whether they are
	// equal.
	failed := command.Wait()
	var totals struct {
		Published    int `json:"published"`
		Handled      int `json:"handled"`
		DeadLettered int `json:"dead_lettered"`
		Repeated     int `json:"repeated"`
	}
	// The example prints the totals even if they differ.
	if err := json.Unmarshal([]byte(out.String()), &totals); err != nil {
		return nil, errors.Join(failed, faults, fmt.Errorf("the example printed %q: %w", out.String(), err))
	}
	r := &result{
		Published: totals.Published, Acked: totals.Published, Handled: totals.Handled, Lost: max(totals.Published-totals.Handled, 0),
		Duplicates: totals.Repeated, DeadLettered: totals.DeadLettered, Recovery: seconds(max(time.Since(healed), 0)),
	}
	if failed != nil {
		return r, fmt.Errorf("the totals are not equal: %w, see %s", failed, log.Name())
	}
	return r, faults
}
