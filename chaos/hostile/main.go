// Hostile measures how consumers survive bytes that are made to harm them: batches that a
// broker accepts, and answers of a server that is not a broker. Each attack meets its own
// process, whose peak memory is measured.
//
//	scripts/kafka.sh run -- go run ./chaos/hostile    or: make hostile
//
// It prints a row for each attack. It exits with status 1 if one took more memory than
// allowed or had another outcome than it should.
//
//	main     the table and the verdict
//	attack   the batches and the answers
//	victim   the processes that meet them
//	wire     a producer of raw bytes over TCP, and a server in place of a broker
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
	// fetchBytes is how many bytes a consumer fetches ahead by default.
	fetchBytes = 16 << 20
	// garbage is the allowance for memory that is no longer used but not collected yet, in
	// bytes.
	garbage = 32 << 20
	// patience bounds the time of one victim.
	patience = 90 * time.Second
)

func main() {
	// A victim is this program with a task in its environment. In a separate process its peak
	// memory is that of one attack.
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

// run carries out all attacks and prints a row for each. It returns an error that says how
// many failed, or the error of the first that could not be carried out.
func run(ctx context.Context) error {
	brokers := os.Getenv("EVENTBUS_TEST_BROKERS")
	if brokers == "" {
		return errors.New("EVENTBUS_TEST_BROKERS names no broker; scripts/kafka.sh run -- starts one")
	}
	// The library creates the topics. It would refuse to write the batches.
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
		// The first attack does nothing, so its peak is that of the runtime, the client and one
		// event.
		if i == 0 {
			base = r.Peak
		}
		// A record may be in memory twice: as it was fetched, and decompressed.
		allowed := base + garbage + 2*int64(max(fetchBytes, a.record))
		verdict := "ok"
		switch {
		// The outcome is checked first, because a victim that stopped early has a small peak.
		case r.Outcome != a.want:
			verdict, failed = "FAILED: want "+a.want, failed+1
		case r.Peak > allowed:
			verdict, failed = "FAILED: too much memory", failed+1
		}
		fmt.Printf("%-44s %9d %10.1f %10.1f  %-38s %s\n", a.name, r.Bytes, mib(r.Peak), mib(allowed), r.Outcome, verdict)
	}
	if failed > 0 {
		return fmt.Errorf("%d attack(s) failed", failed)
	}
	return nil
}

// mib converts bytes to mebibytes.
func mib(n int64) float64 { return float64(n) / (1 << 20) }

// result is what a victim reports, except for Bytes.
type result struct {
	// Bytes is the size of the batches that were written, in bytes.
	Bytes int
	// Peak is the peak of the victim's resident memory, in bytes.
	Peak int64
	// Outcome is one of the constants, or says what happened instead.
	Outcome string
}

// carryOut prepares an attack, runs its victim, and returns the victim's report. The attack's
// topic is not deleted, since the cluster ends with the program.
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
		// The records have timestamps of 1970, so any retention would delete them. Brokers look
		// for such records half a minute after their start.
		config := map[string]string{"max.message.bytes": fmt.Sprint(maxMessage), "retention.ms": "-1"}
		if err := t.Admin().CreateTopics(ctx, transport.TopicSpec{Name: task.Topic, Partitions: 1, Replication: 1, Configs: config}); err != nil {
			return r, err
		}
		// The sentinel comes last, so that it is handled only if the victim gets past the attack.
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
	// The victim's report has no Bytes, so they are kept.
	n := r.Bytes
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("the victim reports %.200q: %w", out, err)
	}
	if a.answer == nil {
		r.Bytes = n
	}
	return r, nil
}

// start runs this program as a victim, and returns its standard output.
func start(ctx context.Context, t *task) ([]byte, error) {
	// A victim ends by itself ten seconds earlier, with an outcome. This bound is for one that
	// hangs.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	// The victim is the same program, so that it is always built from the same source.
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var failure bytes.Buffer
	c := exec.CommandContext(ctx, self)
	c.Env, c.Stderr = append(os.Environ(), taskVariable+"="+string(text)), &failure
	// Standard output only has the result. Logs and a panic are on standard error.
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("running the victim: %w: %.2000s", err, failure.String())
	}
	return out, nil
}
