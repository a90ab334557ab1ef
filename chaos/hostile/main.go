// Hostile shows what a consumer takes of bytes that were made to harm it: batches that a
// broker accepts, and answers of a server that is not a broker. Each attack meets a process
// of its own, whose peak memory is measured.
//
//	scripts/kafka.sh run -- go run ./chaos/hostile    or: make hostile
//
// It prints one row for each attack and exits with 1 if one took more memory than it may,
// or ended in another way than it should.
//
//	main     the table and the verdict
//	attack   the batches and the answers
//	victim   the processes that meet them
//	wire     a producer of raw bytes, which is a few requests over TCP
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

const (
	// fetchBytes is what a consumer may fetch ahead, the default.
	fetchBytes = 16 << 20
	// garbage is what the victim's heap may have grown by before the garbage collector
	// ran, in bytes, beside what is in use.
	garbage = 32 << 20
	// patience bounds one victim.
	patience = 90 * time.Second
)

// A victim is this program with a task in its environment, so that its memory is
// its own.
func main() {
	if task := os.Getenv(taskVariable); task != "" {
		if err := victim(task); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "hostile:", err)
		stop()
		os.Exit(1)
	}
}

// run carries out all attacks and prints a row for each. Its error says how many
// got through.
func run(ctx context.Context) error {
	brokers := os.Getenv("EVENTBUS_TEST_BROKERS")
	if brokers == "" {
		return errors.New("EVENTBUS_TEST_BROKERS names no broker: run it by scripts/kafka.sh run --")
	}
	// The topics are created through the library itself. The batches are not: it would refuse
	// to make them.
	t := kafka.New(kafka.Config{Brokers: strings.Split(brokers, ",")})
	defer func() { _ = t.Close(context.WithoutCancel(ctx)) }()
	fmt.Printf("%-44s %9s %10s %10s  %-38s %s\n", "attack", "bytes in", "peak MiB", "allowed", "outcome", "verdict")
	var base int64
	failed := 0
	for i, a := range attacks() {
		r, err := a.carryOut(ctx, t, brokers)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		// The first attack is none.
		if i == 0 {
			// What a victim takes that meets nothing: the runtime, the client, and one event.
			base = r.Peak
		}
		// A record is held twice at most: as it was fetched and decompressed.
		allowed := base + garbage + 2*int64(max(fetchBytes, a.record))
		verdict := "ok"
		switch {
		// The outcome comes first: one that stopped early has a small peak.
		case r.Outcome != a.want:
			verdict, failed = "FAILED: want "+a.want, failed+1
		case r.Peak > allowed:
			verdict, failed = "FAILED: too much memory", failed+1
		}
		fmt.Printf("%-44s %9d %10.1f %10.1f  %-38s %s\n", a.name, r.Bytes, mib(r.Peak), mib(allowed), r.Outcome, verdict)
	}
	if failed > 0 {
		return fmt.Errorf("%d attacks got through", failed)
	}
	return nil
}

// mib returns bytes in mebibytes.
func mib(n int64) float64 { return float64(n) / (1 << 20) }

// result is what a victim reports.
type result struct {
	// Bytes is how much the attack took, in bytes.
	Bytes int
	// Peak is the most resident memory, in bytes.
	Peak int64
	// Outcome is one of the constants, or an error's text.
	Outcome string
}

// carryOut prepares an attack, starts its victim and returns what that reports.
// Each has a topic of its own, which stays behind: the cluster ends with the program.
func (a *attack) carryOut(ctx context.Context, t *kafka.Transport, brokers string) (r result, err error) {
	task := task{Victim: a.victim, Brokers: strings.Split(brokers, ","), Topic: a.topic(), Letter: a.want == oneMore || a.want == passed}
	if a.answer != nil {
		l, err := listen(a.answer)
		if err != nil {
			return r, err
		}
		defer l.close()
		task.Brokers = []string{l.address()}
	} else {
		config := map[string]string{"max.message.bytes": fmt.Sprint(maxMessage)}
		if err := t.Admin().CreateTopics(ctx, transport.TopicSpec{Name: task.Topic, Partitions: 1, Replication: 1, Configs: config}); err != nil {
			return r, err
		}
		// The sentinel follows: it is handled if the victim gets past the attack.
		for _, b := range [][]byte{a.batch(), sentinel()} {
			if len(b) == 0 {
				continue
			}
			if err := produce(ctx, task.Brokers[0], task.Topic, b); err != nil {
				return r, err
			}
			r.Bytes += len(b)
		}
	}
	out, err := start(ctx, &task)
	if err != nil {
		return r, err
	}
	// The victim does not know how much was written.
	n := r.Bytes
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("the victim says %q: %w", out, err)
	}
	if a.answer == nil {
		r.Bytes = n
	}
	return r, nil
}

// start runs this program as a victim, and returns what it prints.
func start(ctx context.Context, t *task) ([]byte, error) {
	// A victim ends by itself ten seconds before this, with an outcome; this is for one that
	// can't.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	// The same program, so that what is measured is built from the same source.
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var failure bytes.Buffer
	c := exec.CommandContext(ctx, self)
	c.Env, c.Stderr = append(os.Environ(), taskVariable+"="+string(text)), &failure
	// Standard output has the result alone; logs and a panic are on standard error.
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("its victim: %w: %.2000s", err, failure.String())
	}
	return out, nil
}
