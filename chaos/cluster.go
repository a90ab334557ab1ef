package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// cluster is the three brokers of a campaign. They are started and damaged
// through scripts/kafka.sh, and judged through another client: a mistake in
// ours must not hide itself.
type cluster struct {
	script    string
	name      string
	env       []string
	addresses []string
	client    *kgo.Client
}

// brokerCount is the number of brokers: topics have three replicas, two of
// which have to be in sync.
const brokerCount = 3

// startCluster starts brokers for this campaign alone.
func startCluster(ctx context.Context, root string) (*cluster, error) {
	name := "chaos-" + strconv.Itoa(os.Getpid())
	c := &cluster{
		script: filepath.Join(root, "scripts", "kafka.sh"), name: name,
		env: append(os.Environ(), "KAFKA_CLUSTER="+name,
			// Random, so that two campaigns don't meet, and below the ports
			// that the system gives to outgoing connections.
			"KAFKA_PORT="+strconv.Itoa(21000+rand.IntN(900)*10)), //nolint:gosec // not for secrets
	}
	answer, err := c.run(ctx, "start", strconv.Itoa(brokerCount))
	if err != nil {
		return nil, err
	}
	_, list, found := strings.Cut(strings.TrimSpace(answer), "EVENTBUS_TEST_BROKERS=")
	if !found {
		return nil, fmt.Errorf("%s start answers %q", c.script, answer)
	}
	c.addresses = strings.Split(list, ",")
	c.client, err = kgo.NewClient(kgo.SeedBrokers(c.addresses...), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.RetryTimeout(30*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return c, err
}

// run runs a command of the script and returns what it prints.
func (c *cluster) run(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, c.script, args...)
	command.Env = c.env
	// Files, not pipes: brokers inherit them, and would keep pipes open.
	var out, complaints bytes.Buffer
	stdout, err := os.CreateTemp("", "chaos-kafka-")
	if err != nil {
		return "", err
	}
	defer os.Remove(stdout.Name())
	defer stdout.Close()
	stderr, err := os.CreateTemp("", "chaos-kafka-")
	if err != nil {
		return "", err
	}
	defer os.Remove(stderr.Name())
	defer stderr.Close()
	command.Stdout, command.Stderr = stdout, stderr
	failed := command.Run()
	for file, to := range map[*os.File]*bytes.Buffer{stdout: &out, stderr: &complaints} {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			return "", err
		}
		to.Write(text)
	}
	if failed != nil {
		return "", fmt.Errorf("kafka.sh %s: %w: %s", strings.Join(args, " "), failed, strings.TrimSpace(complaints.String()))
	}
	return out.String(), nil
}

// whole starts every broker that is down and resumes every one that is paused.
func (c *cluster) whole(ctx context.Context) error {
	status, err := c.run(ctx, "status")
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(status) {
		fields := strings.Split(line, "\t")
		if len(fields) < 2 || fields[1] == "running" {
			continue
		}
		verb := "restart"
		if fields[1] == "paused" {
			verb = "resume"
		}
		_, err := c.run(ctx, verb, fields[0])
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// dir returns the directory in which the script keeps the cluster.
func (c *cluster) dir() string {
	return filepath.Join(filepath.Dir(filepath.Dir(c.script)), ".cache", "kafka", "clusters", c.name)
}

// saveLogs copies what the brokers have logged so far. It often shows why a
// scenario failed.
func (c *cluster) saveLogs(to string) {
	for id := 1; id <= brokerCount; id++ {
		name := "broker-" + strconv.Itoa(id) + ".log"
		if text, err := os.ReadFile(filepath.Join(c.dir(), name)); err == nil {
			_ = os.WriteFile(filepath.Join(to, name), text, 0o600)
		}
	}
}

// end stops the brokers and removes their data.
func (c *cluster) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if c.client != nil {
		c.client.Close()
	}
	for id := 1; id <= brokerCount; id++ {
		// It fails for a broker that is down, which is as good.
		_, _ = c.run(ctx, "kill", strconv.Itoa(id))
	}
	// ZooKeeper, where there is one.
	_, _ = c.run(ctx, "stop")
	return os.RemoveAll(c.dir())
}
