package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// The classes of Apache Kafka's tools.
const (
	producerTool = "org.apache.kafka.tools.ProducerPerformance"
	consumerTool = "org.apache.kafka.tools.ConsumerPerformance"
)

// toolLegend says that the tools don't do the same work.
const toolLegend = "Apache Kafka's own perf tools: records of the same size, with no JSON, headers, keys or handler."

// isTool reports whether a peer is a program of Apache Kafka's.
func isTool(name string) bool {
	p, _ := peer.Named(name)
	return p.Tool
}

// runTool measures a peer that is a program of Apache Kafka's, of the release that
// scripts/kafka.sh fetched. The rate is the tool's own, without the start of its virtual
// machine; CPU time and the resident set are those of the whole process.
func runTool(ctx context.Context, t task) (measurement, error) {
	chosen, err := choose(t.Workload, false, t.Quick)
	if err != nil {
		return measurement{}, err
	}
	w := chosen[0]
	arguments, rateOf, err := toolArguments(t, w)
	if err != nil {
		return measurement{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The script becomes the Java process, so its usage is that of the tool.
	tool := exec.CommandContext(ctx, filepath.Join("..", "scripts", "kafka.sh"), append([]string{"tool"}, arguments...)...)
	out, err := tool.Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, lastLines(failed.Stderr, 2000))
		}
		return measurement{}, err
	}
	rate, err := rateOf(string(out))
	if err != nil {
		return measurement{}, err
	}
	m := measurement{Peer: t.Peer, Workload: t.Workload, Round: t.Round, Events: w.events, Rate: rate}
	m.CPU = float64((tool.ProcessState.UserTime() + tool.ProcessState.SystemTime()).Nanoseconds()) / 1e3 / float64(w.events)
	if u, ok := tool.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.RSS = float64(u.Maxrss) / (1 << 10) // in KiB on Linux (getrusage(2))
	}
	return m, nil
}

// toolArguments returns the class and the arguments for a workload, and what reads the
// rate in events per second from the output. The sizes and wait times of batches are
// franz-go's defaults: the tool's own, 16 KiB and 5 ms, would mostly measure the cost of
// small batches.
func toolArguments(t task, w workload) (arguments []string, rateOf func(string) (float64, error), err error) {
	brokers, events := strings.Join(t.Settings.Brokers, ","), strconv.Itoa(w.events)
	switch w.kind {
	case asyncPublish:
		size, err := peer.RecordBytes(event.NewSource(w.keys).At(0))
		if err != nil {
			return nil, nil, err
		}
		return []string{
			producerTool, "--bootstrap-server", brokers, "--topic", t.Settings.Topic(), "--num-records", events,
			"--record-size", strconv.Itoa(size), "--throughput", "-1",
			"--command-property", "acks=all", "batch.size=1000000", "linger.ms=10", "compression.type=" + w.compression,
		}, producerRate, nil
	case consume:
		return []string{
			consumerTool, "--bootstrap-server", brokers, "--topic", t.Settings.Topic(), "--num-records", events,
			"--group", t.Settings.Group, "--timeout", "60000",
			"--command-property", "auto.commit.interval.ms=" + strconv.FormatInt(int64(peer.CommitInterval/time.Millisecond), 10),
		}, consumerRate, nil
	}
	return nil, nil, fmt.Errorf("%s has no tool for workload %s", t.Peer, w.name)
}

// producerRate reads the last line of the producer's tool: "500000 records sent, 123456.7
// records/sec (51.81 MB/sec), …".
func producerRate(out string) (float64, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	last := lines[len(lines)-1]
	for field := range strings.SplitSeq(last, ",") {
		if figure, ok := strings.CutSuffix(strings.TrimSpace(strings.SplitN(field, "(", 2)[0]), " records/sec"); ok {
			return strconv.ParseFloat(strings.TrimSpace(figure), 64)
		}
	}
	return 0, fmt.Errorf("the tool says no rate: %.200s", last)
}

// consumerRate reads the table of the consumer's tool, of which the last column is the
// rate without the time of joining the group.
func consumerRate(out string) (float64, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	head, last := strings.Split(lines[0], ","), strings.Split(lines[len(lines)-1], ",")
	for i, name := range head {
		if strings.TrimSpace(name) == "fetch.nMsg.sec" && i < len(last) {
			return strconv.ParseFloat(strings.TrimSpace(last[i]), 64)
		}
	}
	return 0, fmt.Errorf("the tool says no rate: %.200s", lines[len(lines)-1])
}
