package outbox

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/jackc/pgx/v5/pgxpool"
)

// relayVariable makes this test binary a relay process, which a test can kill or
// freeze.
const relayVariable = "EVENTBUS_OUTBOX_TEST_RELAY"

// relayProcess is the configuration of such a process, in relayVariable.
type relayProcess struct {
	Database, Schema string
	Environment      string
	Brokers          []string
	Unfenced         bool
}

const quickBatch = 200

// quickDelivery is the Producer.DeliveryTimeout of a bus for an unfenced quickLease.
const quickDelivery = time.Second

// quickLease configures a relay with the shortest possible lease, so that tests need
// not wait long for its end. A fenced batch may take longer than that.
func quickLease(table Table, unfenced bool) Config {
	c := Config{Table: table, Unfenced: unfenced, Batch: quickBatch, PollInterval: 5 * time.Millisecond, Lease: 3 * time.Second}
	if unfenced {
		c.DeliveryTimeout = quickDelivery + 500*time.Millisecond
		c.Lease = c.DeliveryTimeout + 2*margin
	}
	return c
}

// quickBus returns a bus for a relay of quickLease.
func quickBus(t testing.TB, cluster *kafkatest.Cluster, unfenced bool) *eventbus.Bus {
	return cluster.Bus(t, func(c *eventbus.Config) {
		if unfenced {
			c.Producer.DeliveryTimeout = quickDelivery
		}
	})
}

// run runs a relay until an interrupt.
func (p relayProcess) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	pool, err := pgxpool.New(ctx, p.Database)
	if err != nil {
		return err
	}
	defer pool.Close()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	config := quickLease(Table{Schema: p.Schema}, p.Unfenced)
	config.Logger = logger
	var producer transport.ProducerConfig
	if p.Unfenced {
		producer.DeliveryTimeout = quickDelivery
	}
	bus, err := eventbus.New(kafka.New(kafka.Config{Brokers: p.Brokers}), eventbus.Config{Service: "relay", Environment: p.Environment, Logger: logger, Producer: producer})
	if err != nil {
		return err
	}
	defer func() { _ = bus.Close(context.Background()) }()
	r, err := NewRelay(bus, pool, config)
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// relayMain is the main function of a relay process.
func relayMain(text string) (code int) {
	var p relayProcess
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = p.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// start starts the process. It is killed when the test ends.
func (p relayProcess) start(t testing.TB) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0], "-test.run=^$")
	command.Env = append(os.Environ(), relayVariable+"="+string(text))
	if testing.Verbose() {
		command.Stderr = os.Stderr
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killProcess(command) })
	return command
}

// killProcess ends a process with SIGKILL, even a frozen one. It does nothing if the
// process has ended.
func killProcess(command *exec.Cmd) {
	_ = command.Process.Kill()
	_ = command.Wait()
}

// leader returns the process id of the relay that leads, or 0, and how much has been
// published.
func leader(t testing.TB, pool *pgxpool.Pool, table Table) (pid int, published int64) {
	t.Helper()
	n, _ := table.names()
	var holder string
	err := pool.QueryRow(context.Background(), n.sql(`SELECT CASE WHEN expires_at > clock_timestamp() THEN holder ELSE '' END, published FROM {relay}`)).Scan(&holder, &published)
	if err != nil {
		return 0, 0 // the server is unreachable
	}
	pid, _ = strconv.Atoi(holder[strings.LastIndexByte(holder, '/')+1:])
	return pid, published
}

// pick returns the process with an id and its index, or nil.
func pick(processes []*exec.Cmd, pid int) (at int, found *exec.Cmd) {
	for i, p := range processes {
		if p.Process.Pid == pid {
			return i, p
		}
	}
	return -1, nil
}

func signalProcess(t testing.TB, command *exec.Cmd, signal syscall.Signal) {
	t.Helper()
	if err := command.Process.Signal(signal); err != nil {
		t.Fatalf("%v: %v", signal, err)
	}
}

// outage returns how long the brokers are unreachable: EVENTBUS_OUTBOX_OUTAGE, or a
// few seconds.
func outage(t testing.TB) time.Duration {
	d, err := time.ParseDuration(cmp.Or(os.Getenv("EVENTBUS_OUTBOX_OUTAGE"), "5s"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}
