package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// taskVariable names the environment variable with the task of a victim.
const taskVariable = "EVENTBUS_HOSTILE_TASK"

// task is what a victim has to do. The victim gets it as JSON.
type task struct {
	// Victim is "bus", "reader" or "client".
	Victim string
	// Brokers has the addresses to connect to: those of brokers, or that of the server in
	// place of a broker.
	Brokers []string
	// Topic is the attacked topic. A client needs none.
	Topic string
	// Letter is set if a dead letter is expected, so that the victim waits for it.
	Letter bool
}

// victim carries out a task and writes the result to standard output as JSON.
func victim(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience-10*time.Second)
	defer cancel()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	k := kafka.New(kafka.Config{Brokers: t.Brokers})
	defer func() { _ = k.Close(context.WithoutCancel(ctx)) }()
	var r result
	var err error
	switch t.Victim {
	case "bus":
		r.Outcome, err = consume(ctx, k, &t, log)
	case "reader":
		r.Outcome = read(ctx, k, &t)
	default:
		r.Outcome = call(ctx, k)
	}
	if err != nil {
		return err
	}
	// VmHWM only rises, so at the end it covers everything.
	r.Peak = peak()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// peak returns the peak of this process's resident memory, in bytes (proc_pid_status(5)). It
// returns 0 on systems without that file, on which no attack can take too much: the figures
// hold on Linux alone.
func peak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseInt(kib, 10, 64)
	return n << 10
}

// consume runs a bus that handles the events of the topic until the sentinel arrives, and
// returns the outcome. An error means that the attack could not be judged.
func consume(ctx context.Context, k *kafka.Transport, t *task, log *slog.Logger) (string, error) {
	bus, err := eventbus.New(k, eventbus.Config{Service: "hostile", Environment: "hostile", Source: "urn:hostile", Logger: log, AutoProvision: eventbus.ProvisionAlways})
	if err != nil {
		return "", err
	}
	// The topic is declared so that its name is that of the attacked one.
	parts := strings.Split(t.Topic, ".")
	topic := eventbus.NewTopic(eventbus.TopicConfig[string]{
		Domain: parts[1], Name: parts[3], Type: "Next", Partitions: 1, Replication: 1,
		Configs: map[string]string{"max.message.bytes": strconv.Itoa(maxMessage)}, Key: func(s string) string { return s },
	})
	if name := topic.In("hostile"); name != t.Topic {
		return "", fmt.Errorf("the topic is %s, not %s", name, t.Topic)
	}
	// The buffer keeps the handler from waiting for the loop below.
	handled := make(chan struct{}, 10)
	if err := eventbus.Subscribe(bus, topic, func(context.Context, string) error {
		handled <- struct{}{}
		return nil
	}); err != nil {
		return "", err
	}
	if err := bus.Start(ctx); err != nil {
		return "", err
	}
	defer func() { _ = bus.Close(context.WithoutCancel(ctx)) }()
	outcome := ""
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		select {
		case <-handled:
			tick.Stop()
			n, err := letters(ctx, k, t.Topic+".hostile-hostile.dlq", t.Letter)
			switch {
			case err != nil:
				return "", err
			// Skip writes a note to the dead-letter topic, which counts as one.
			case outcome != "" && n == 1:
				return outcome, nil
			case n > 0:
				return fmt.Sprintf("%d dead letter, then the next event", n), nil
			}
			return goneOn, nil
		case <-tick.C:
			// An operator who sees that a batch can't be read skips it, by its first offset.
			if h := bus.Health(ctx); outcome == "" && !h.Ready && strings.Contains(fmt.Sprint(h), "can't be read") {
				if err := bus.Operator().Skip("hostile-hostile", t.Topic, 0, 0); err != nil {
					return "", err
				}
				outcome = passed
			}
		// That nothing moves is an outcome too.
		case <-ctx.Done():
			return "stands still", nil
		}
	}
}

// letters returns the number of records in a dead-letter topic. If one is expected it waits
// until there is one. It reads none, since that would count in the peak of this process.
func letters(ctx context.Context, k *kafka.Transport, topic string, expected bool) (int64, error) {
	p := transport.Partition{Topic: topic}
	for {
		ends, err := k.Admin().Offsets(ctx, transport.Latest(), p)
		if err != nil || ends[p] > 0 || !expected {
			return ends[p], err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// read reads the topic to its end by a reader, and returns the outcome.
func read(ctx context.Context, k *kafka.Transport, t *task) string {
	p := transport.Partition{Topic: t.Topic}
	ends, err := k.Admin().Offsets(ctx, transport.Latest(), p)
	if err != nil {
		return err.Error()
	}
	// Without To the reader would wait for more records at the end.
	r, err := k.NewReader(transport.ReaderConfig{From: map[transport.Partition]int64{p: 0}, To: ends})
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Close(context.WithoutCancel(ctx)) }()
	for {
		batches, err := r.Poll(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return ended
		case err != nil && strings.Contains(err.Error(), "offsets 0 to"):
			return noDirect
		case err != nil:
			return err.Error()
		}
		// Memory that is not released would count as the reader's.
		for i := range batches {
			if batches[i].Release != nil {
				batches[i].Release()
			}
		}
	}
}

// call asks a server that is not a broker for its cluster, and returns the outcome.
func call(ctx context.Context, k *kafka.Transport) string {
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	begun := time.Now()
	_, err := k.Cluster(within)
	if err == nil {
		return "it was taken for a broker"
	}
	if took := time.Since(begun); took > 6*time.Second {
		return fmt.Sprintf("an error after %s", took.Round(time.Second))
	}
	// Work that continues in the background would raise the peak now.
	time.Sleep(2 * time.Second)
	return anError
}
