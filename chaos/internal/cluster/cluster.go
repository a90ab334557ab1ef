// Package cluster runs the brokers of the fault campaign. It starts and damages them through
// scripts/kafka.sh, and observes them through another client, so that a mistake in ours can't
// hide itself.
//
// The files:
//
//	cluster         start, run a command of the script, make whole again, end
//	admin, groups   topics and groups, as the other client sees them
//	replace         a broker with another id takes one's place
//	log             the records of a topic
//	fencing         when the cluster has given a lost broker up
//	proxy           the network before a broker
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Cluster is the three brokers of a campaign.
type Cluster struct {
	// root is the directory of the repository, and name that of the cluster.
	root, name string
	// env has the cluster's name and port for the script.
	env []string
	// Client is another library's client, for questions and orders.
	Client *kgo.Client

	// mu guards addresses.
	mu sync.Mutex
	// addresses are those of brokers 1 to Brokers, in that order.
	addresses []string
}

// Brokers is the number of brokers. Topics have three replicas, two of which must be in sync.
const Brokers = 3

// Start starts brokers for this campaign only.
func Start(ctx context.Context, root string) (*Cluster, error) {
	// The process's id distinguishes campaigns on one machine, also in the script's
	// directories.
	name := "chaos-" + strconv.Itoa(os.Getpid())
	c := &Cluster{
		root: root, name: name,
		env: append(os.Environ(), "KAFKA_CLUSTER="+name,
			// Random, so that two campaigns don't meet, and below the ports
			// that the system gives to outgoing connections.
			"KAFKA_PORT="+strconv.Itoa(21000+rand.IntN(900)*10)), //nolint:gosec // not for secrets
	}
	answer, err := c.Run(ctx, "start", strconv.Itoa(Brokers))
	if err != nil {
		return nil, err
	}
	// The script prints an assignment for a shell.
	_, list, found := strings.Cut(strings.TrimSpace(answer), "EVENTBUS_TEST_BROKERS=")
	if !found {
		return nil, fmt.Errorf("kafka.sh start answers %q", answer)
	}
	c.addresses = strings.Split(list, ",")
	// Metadata is refreshed quickly and requests are retried for long, because leaders move all
	// the time. Records go to the partition that the campaign names.
	c.Client, err = kgo.NewClient(kgo.SeedBrokers(c.addresses...), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.RetryTimeout(30*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return c, err
}

// Run runs a command of the script and returns what it prints.
// An error has what the script said on standard error.
func (c *Cluster) Run(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(c.root, "scripts", "kafka.sh"), args...)
	command.Env = c.env
	// Use files, not pipes: brokers inherit them, and would keep pipes open.
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
	// A failure's reason is on standard error, so the files are read in any case.
	failed := command.Run()
	// Read by name, from the start: the open file's offset is where the script stopped writing.
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

// Addresses returns the addresses of brokers 1 to Brokers, in that order.
func (c *Cluster) Addresses() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.addresses)
}

// Move stops a broker in an orderly way and starts it again at another address.
// Nobody answers at the one that it had.
func (c *Cluster) Move(ctx context.Context, broker int) error {
	answer, err := c.Run(ctx, "move", strconv.Itoa(broker))
	if err != nil {
		return err
	}
	// Only once the broker runs there.
	c.setAddress(broker, answer)
	return nil
}

// Whole starts every broker that is down and resumes every one that is paused.
func (c *Cluster) Whole(ctx context.Context) error {
	status, err := c.Run(ctx, "status")
	if err != nil {
		return err
	}
	var errs []error
	// A broker that was just started counts as running; callers that need more use Healthy.
	for line := range strings.Lines(status) {
		// A line is the broker's number, its state, and what the script adds.
		fields := strings.Split(line, "\t")
		if len(fields) < 2 || fields[1] == "running" {
			continue
		}
		verb := "restart"
		if fields[1] == "paused" {
			verb = "resume"
		}
		_, err := c.Run(ctx, verb, fields[0])
		// One broker that does not come back is no reason to leave the others down. Join drops
		// nil errors.
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// dir returns the directory in which the script keeps the cluster.
func (c *Cluster) dir() string {
	return filepath.Join(c.root, ".cache", "kafka", "clusters", c.name)
}

// SaveLogs copies what the brokers have logged so far. It often shows why a
// scenario failed.
// What can't be read or written is left out: the verdict does not depend on it.
func (c *Cluster) SaveLogs(to string) {
	for id := 1; id <= Brokers; id++ {
		name := "broker-" + strconv.Itoa(id) + ".log"
		if text, err := os.ReadFile(filepath.Join(c.dir(), name)); err == nil {
			_ = os.WriteFile(filepath.Join(to, name), text, 0o600)
		}
	}
}

// End stops the brokers and removes their data.
func (c *Cluster) End() error {
	// Use a new context: the brokers of an interrupted campaign must end too.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if c.Client != nil {
		c.Client.Close()
	}
	for id := 1; id <= Brokers; id++ {
		// It fails for a broker that is down, which is fine.
		_, _ = c.Run(ctx, "kill", strconv.Itoa(id))
	}
	// ZooKeeper, where there is one.
	_, _ = c.Run(ctx, "stop")
	return os.RemoveAll(c.dir())
}
