package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/bench/internal/meter"
	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// idleTask runs one member, alone in its process, on a topic whose partitions have
// one event each and get no more.
type idleTask struct {
	Peer       string
	Settings   peer.Settings
	Partitions int
	Lasts      time.Duration
	// Profile is the file for a CPU profile; empty for none.
	Profile string
}

// idleUse is what the member has used. CPU is in milliseconds per second, memory is
// in megabytes.
type idleUse struct {
	// Begun is the time from nothing until one event of every partition was handled.
	Begun time.Duration
	CPU   float64
	// Heap is the live heap after a garbage collection, RSS the resident set after
	// it.
	Heap, RSS float64
}

// runIdle measures each size with each client, and prints a table.
func runIdle(ctx context.Context, f flags) error {
	fmt.Println("| client | partitions | begun s | CPU ms/s | live heap MB | RSS MB |\n|---|--:|--:|--:|--:|--:|")
	for range f.rounds {
		for _, size := range f.sizes {
			stem := stemOf("idle")
			if err := fillIdle(ctx, f.brokers, stem, size); err != nil {
				return err
			}
			for _, name := range []string{peer.Eventbus, peer.Franz} {
				t := idleTask{Peer: name, Partitions: size, Lasts: f.lasts, Settings: peer.Settings{Brokers: f.brokers, Stem: stem, Group: stemOf("idle")}}
				use, err := t.spawn(ctx)
				if err != nil {
					return fmt.Errorf("%s with %d partitions: %w", name, size, err)
				}
				fmt.Printf("| %s | %d | %.1f | %.1f | %.2f | %.1f |\n", name, size, use.Begun.Seconds(), use.CPU, use.Heap, use.RSS)
			}
		}
	}
	return nil
}

// fillIdle creates a topic with one event in each of its partitions.
func fillIdle(ctx context.Context, brokers []string, stem string, partitions int) error {
	bus, err := create(ctx, brokers, partitions, "", stem)
	if err != nil {
		return err
	}
	orders, source := eventbus.NewPublisher(bus, topicOf(stem)), event.NewSource(1)
	receipts := make([]eventbus.Receipt, partitions)
	for n := range receipts {
		receipts[n] = orders.PublishAsync(ctx, orderFor(source, n, n))
	}
	for i := range receipts {
		_, waited := receipts[i].Wait(ctx)
		err = errors.Join(err, waited)
	}
	return errors.Join(err, bus.Close(ctx))
}

// spawn runs the task in a child.
func (t idleTask) spawn(ctx context.Context) (use idleUse, err error) {
	child, err := childOf(ctx, task{Idle: &t})
	if err != nil {
		return use, err
	}
	out, err := child.Output()
	if err != nil {
		return use, err
	}
	return use, json.Unmarshal(out, &use)
}

// childOf returns this program with a task.
func childOf(ctx context.Context, t task) (*exec.Cmd, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.CommandContext(ctx, program)
	child.Env, child.Stderr = append(os.Environ(), taskVariable+"="+string(text)), os.Stderr
	return child, nil
}

// serve measures the member while nothing happens.
func (t *idleTask) serve(ctx context.Context) error {
	p, ok := peer.Named(t.Peer)
	if !ok {
		return fmt.Errorf("there is no peer %q in this build", t.Peer)
	}
	var handled atomic.Int64
	all := make(chan struct{})
	begin := time.Now()
	c, err := p.NewConsumer(ctx, t.Settings, func(*event.Order) {
		if handled.Add(1) == int64(t.Partitions) {
			close(all)
		}
	})
	if err != nil {
		return err
	}
	select {
	case <-all:
	case <-ctx.Done():
		return ctx.Err()
	}
	use := idleUse{Begun: time.Since(begin)}
	// Let the member commit, and let garbage be collected.
	time.Sleep(3 * peer.CommitInterval)
	debug.FreeOSMemory()
	m := meter.Start()
	time.Sleep(t.Lasts)
	used := m.Stop()
	use.CPU = used.CPU.Seconds() * 1000 / used.Elapsed.Seconds()
	debug.FreeOSMemory()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	use.Heap, use.RSS = float64(mem.HeapAlloc)/(1<<20), float64(meter.RSS())/(1<<20)
	ending, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return errors.Join(c.Close(ending), json.NewEncoder(os.Stdout).Encode(use))
}
