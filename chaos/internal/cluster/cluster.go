// Package cluster runs the brokers of the fault campaign. It starts and damages them through
// scripts/kafka.sh, and observes them through another client, so that a mistake in this
// library can't hide itself.
//
// The files:
//
//	cluster         start, run commands of the script, repair, end
//	admin, groups   topics and groups, as the other client sees them
//	replace         replacing a broker by one with another id
//	log             the records of a topic
//	fencing         waiting until the cluster does without a lost broker
//	proxy           the network between clients and a broker
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

// Cluster is the three brokers of a campaign. Create one with Start; the caller calls End. Its
// methods are safe for concurrent use, except for those that start, move or stop brokers.
type Cluster struct {
	// root is the directory of the repository. name is the name of the cluster.
	root, name string
	// env is the environment of the script, with the cluster's name and port.
	env []string
	// Client is a client of another library, for requests about the cluster.
	Client *kgo.Client

	// mu guards addresses.
	mu sync.Mutex
	// addresses has the addresses of brokers 1 to Brokers, in that order, or those of their
	// stand-ins.
	addresses []string
}

// Brokers is the number of brokers. Topics have three replicas, two of which must be in sync.
const Brokers = 3

// Start starts the brokers of a campaign and waits until they serve. root is the directory of
// the repository.
func Start(ctx context.Context, root string) (*Cluster, error) {
	// The process id keeps campaigns on one machine apart, in the script's directories too.
	name := "chaos-" + strconv.Itoa(os.Getpid())
	c := &Cluster{
		root: root, name: name,
		env: append(os.Environ(), "KAFKA_CLUSTER="+name,
			// The port is random, so that two campaigns rarely want the same, and below those
			// that the system uses for outgoing connections.
			"KAFKA_PORT="+strconv.Itoa(21000+rand.IntN(900)*10)), //nolint:gosec // not for secrets
	}
	answer, err := c.Run(ctx, "start", strconv.Itoa(Brokers))
	if err != nil {
		return nil, err
	}
	// The script prints an assignment of a shell variable.
	_, list, found := strings.Cut(strings.TrimSpace(answer), "EVENTBUS_TEST_BROKERS=")
	if !found {
		return nil, fmt.Errorf("kafka.sh start printed %q, want EVENTBUS_TEST_BROKERS=…", answer)
	}
	c.addresses = strings.Split(list, ",")
	// Leaders move all the time, so metadata is refreshed quickly, and requests are retried for
	// long. The campaign chooses the partition of a record.
	c.Client, err = kgo.NewClient(kgo.SeedBrokers(c.addresses...), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.RetryTimeout(30*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return c, err
}

// Run runs a command of scripts/kafka.sh on this cluster and returns its standard output. If
// the command fails, the error includes its standard error.
func (c *Cluster) Run(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(c.root, "scripts", "kafka.sh"), args...)
	command.Env = c.env
	// Started brokers inherit the outputs and would keep pipes open, so they are files.
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
	// The files are read even if the command fails, since standard error says why.
	failed := command.Run()
	// They are read by name, since the offset of the open files is where the script ended.
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

// Addresses returns the current addresses of brokers 1 to Brokers, in that order. The place of
// a replaced broker has the address of its stand-in. The caller owns the slice.
func (c *Cluster) Addresses() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.addresses)
}

// Move stops a broker in an orderly way, if it runs, and starts it on the same data at another
// address. Nothing listens at the old one then.
func (c *Cluster) Move(ctx context.Context, broker int) error {
	answer, err := c.Run(ctx, "move", strconv.Itoa(broker))
	if err != nil {
		return err
	}
	// Clients learn the address only now that the broker serves there.
	c.setAddress(broker, answer)
	return nil
}

// Whole starts every broker that is down, and resumes every broker that is paused. It returns
// all errors.
func (c *Cluster) Whole(ctx context.Context) error {
	status, err := c.Run(ctx, "status")
	if err != nil {
		return err
	}
	var errs []error
	// A broker that has just started is running, but may not be in sync: callers that need that
	// use Healthy.
	for line := range strings.Lines(status) {
		// A line has the broker's id, its state, its address and its process id.
		fields := strings.Split(line, "\t")
		if len(fields) < 2 || fields[1] == "running" {
			continue
		}
		verb := "restart"
		if fields[1] == "paused" {
			verb = "resume"
		}
		_, err := c.Run(ctx, verb, fields[0])
		// The other brokers are started even if one does not start.
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// dir returns the directory of the cluster, which the script creates.
func (c *Cluster) dir() string {
	return filepath.Join(c.root, ".cache", "kafka", "clusters", c.name)
}

// SaveLogs copies the logs of brokers 1 to Brokers to a directory, since they often show why a
// scenario failed. It leaves out what it can't read or write: no verdict depends on it.
func (c *Cluster) SaveLogs(to string) {
	for id := 1; id <= Brokers; id++ {
		name := "broker-" + strconv.Itoa(id) + ".log"
		if text, err := os.ReadFile(filepath.Join(c.dir(), name)); err == nil {
			_ = os.WriteFile(filepath.Join(to, name), text, 0o600)
		}
	}
}

// End closes Client, kills the brokers and removes their data.
func (c *Cluster) End() error {
	// The brokers of an interrupted campaign must end too, so the context is a new one.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if c.Client != nil {
		c.Client.Close()
	}
	for id := 1; id <= Brokers; id++ {
		// This fails for a broker that is down, which is fine.
		_, _ = c.Run(ctx, "kill", strconv.Itoa(id))
	}
	// A stand-in and ZooKeeper may still run.
	_, _ = c.Run(ctx, "stop")
	return os.RemoveAll(c.dir())
}
