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

// cluster is the three brokers of a campaign. It is started and hurt by
// scripts/kafka.sh, and judged through a client that is not ours.
type cluster struct {
	script    string
	name      string
	env       []string
	addresses []string
	client    *kgo.Client
}

// brokerCount is how many brokers a campaign has: replication 3, at least 2 in sync.
const brokerCount = 3

// startCluster starts brokers of the campaign's own.
func startCluster(ctx context.Context, root string) (*cluster, error) {
	name := "chaos-" + strconv.Itoa(os.Getpid())
	c := &cluster{
		script: filepath.Join(root, "scripts", "kafka.sh"), name: name,
		env: append(os.Environ(), "KAFKA_CLUSTER="+name,
			// Below the ports that the system hands out, at random: two campaigns don't meet.
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

// run runs one command of the script, and ends with it: a broker that it starts
// lives on.
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

// whole brings back every broker that is down or paused.
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

// dir is where the script keeps the cluster.
func (c *cluster) dir() string {
	return filepath.Join(filepath.Dir(filepath.Dir(c.script)), ".cache", "kafka", "clusters", c.name)
}

// saveLogs copies what the brokers have logged so far: why a
// scenario failed is often written there.
func (c *cluster) saveLogs(to string) {
	for id := 1; id <= brokerCount; id++ {
		name := "broker-" + strconv.Itoa(id) + ".log"
		if text, err := os.ReadFile(filepath.Join(c.dir(), name)); err == nil {
			_ = os.WriteFile(filepath.Join(to, name), text, 0o600)
		}
	}
}

// end stops the brokers and removes what they wrote.
func (c *cluster) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if c.client != nil {
		c.client.Close()
	}
	for id := 1; id <= brokerCount; id++ {
		_, _ = c.run(ctx, "kill", strconv.Itoa(id)) // one that is down needs none
	}
	_, _ = c.run(ctx, "stop") // what is beside them: ZooKeeper
	return os.RemoveAll(c.dir())
}
