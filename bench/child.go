package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/pprof"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// taskVariable is the environment variable with the task of a child process. Each
// measurement runs in its own process, so that memory and CPU time are those of one peer.
const taskVariable = "EVENTBUS_BENCH_TASK"

// patience bounds one measurement.
const patience = 3 * time.Minute

// spawn runs a task in a child process.
func spawn(ctx context.Context, t task) (measurement, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return measurement{}, err
	}
	program, err := os.Executable()
	if err != nil {
		return measurement{}, err
	}
	// The parent waits longer than the child, whose own error says more.
	ctx, cancel := context.WithTimeout(ctx, patience+30*time.Second)
	defer cancel()
	// Standard output has only the measurement; clients may log to standard error.
	var out, complaints bytes.Buffer
	// Run the same program, so that both are of one build, without flags: the task has
	// everything.
	child := exec.CommandContext(ctx, program)
	child.Env = append(os.Environ(), taskVariable+"="+string(text))
	child.Stdout, child.Stderr = &out, &complaints
	if err := child.Run(); err != nil {
		// The exit status alone would not say which of the clients' errors it was.
		return measurement{}, fmt.Errorf("%w: %s", err, lastLines(complaints.Bytes(), 2000))
	}
	var m measurement
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		return measurement{}, fmt.Errorf("the child's answer: %w", err)
	}
	return m, nil
}

// lastLines returns the end of a text: a client's last messages usually say why it failed.
func lastLines(text []byte, most int) []byte {
	return bytes.TrimSpace(text[max(len(text)-most, 0):])
}

// serve is the main function of a child process: the task comes from the
// environment, and the measurement goes to standard output.
func serve(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	// The child ends by itself before the parent kills it, and so says why.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// Only the measurement may go to standard output, so no client may log there.
	m, err := perform(ctx, t)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

// perform runs a task in this process.
func perform(ctx context.Context, t task) (measurement, error) {
	// A workload that is named is found, extra or not.
	chosen, err := choose(t.Workload, false, t.Quick)
	if err != nil {
		return measurement{}, err
	}
	return performSized(ctx, t, chosen[0])
}

// performSized is perform with the given sizes. Tests use small ones.
func performSized(ctx context.Context, t task, w workload) (measurement, error) {
	if t.Fill {
		return measurement{}, fill(ctx, t, w)
	}
	p, ok := peer.Named(t.Peer)
	if !ok {
		return measurement{}, fmt.Errorf("there is no peer %q in this build", t.Peer)
	}
	// The profile includes the client's start.
	if t.Profile != "" {
		file, err := os.Create(t.Profile)
		if err != nil {
			return measurement{}, err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return measurement{}, err
		}
		// Deferred last, so it runs first: it writes the profile before the file is closed.
		defer pprof.StopCPUProfile()
	}
	switch w.kind {
	case consume:
		return runConsume(ctx, t, w, p)
	case endToEnd:
		return runEndToEnd(ctx, t, w, p)
	case starting:
		return runStart(ctx, t, p)
	}
	// The remaining kinds only publish.
	publisher, err := p.NewPublisher(ctx, t.Settings)
	if err != nil {
		return measurement{}, err
	}
	run := runAsync
	if w.kind == syncPublish {
		run = runSync
	}
	m, err := run(ctx, t, w, publisher)
	// Closing is not measured, but its failure invalidates the measurement: something was
	// not written.
	return m, errors.Join(err, publisher.Close(ctx))
}
