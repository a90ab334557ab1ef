package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// taskVariable is the environment variable with the task of a child process.
const taskVariable = "EVENTBUS_CHAOS_TASK"

// task says what a child process should do, as JSON.
type task struct {
	// Role is one of those below.
	Role string `json:"role"`
	// Brokers are the addresses that clients are configured with.
	Brokers []string `json:"brokers"`
	// Routes maps the address of a broker to the address to dial in its place:
	// that of a proxy.
	Routes map[string]string `json:"routes,omitempty"`
	// Topic names everything that the scenario uses.
	Topic contract `json:"topic"`
	// Ledger is the path of the ledger that all processes share.
	Ledger string `json:"ledger"`
	// Crew counts for members, Load and Shift for publishers.
	Crew  crew  `json:"crew,omitzero"`
	Load  load  `json:"load,omitzero"`
	Shift shift `json:"shift,omitzero"`
	// Number is the process's number in the ledger. Sampling is how often it
	// records its memory; 0 is never.
	Number   uint16        `json:"number"`
	Sampling time.Duration `json:"sampling,omitzero"`
	// earlier runs the earlier version of this program.
	earlier bool
}

// The roles of child processes.
const (
	roleMember    = "member"
	rolePublisher = "publisher"
	roleForeign   = "foreign"
	roleIntruder  = "intruder"
)

// The group protocols, as a crew names them.
const (
	eagerRange  = "range"
	cooperative = "cooperative-sticky"
	kip848      = "consumer"
)

// protocols are the group protocols that scenarios of deployments run under,
// with the names that people read.
var protocols = []struct{ name, value string }{{"eager", eagerRange}, {"cooperative", cooperative}, {"KIP-848", kip848}}

// crew describes the consumers of a scenario.
type crew struct {
	// Buses is the number in all processes together.
	Processes, Buses int
	// Concurrency is that of each subscription, Work the time that a handler
	// takes.
	Concurrency int
	Work        time.Duration
	// Session, Heartbeat and Rebalance are the group's times.
	Session, Heartbeat time.Duration
	Rebalance          time.Duration
	// One key in Poison fails at every attempt. One key in Failing fails for
	// failingFor, then works for as long, and so on. 0 is none.
	Poison  uint32
	Failing uint32
	// Dependent subscribes to dependent events too.
	Dependent bool
	// Bounds are the memory bounds of each bus; zero ones are the defaults.
	Bounds eventbus.Bounds
	// Defaults leaves everything that a service need not configure to the bus, and
	// makes every handler need the dependency.
	Defaults bool
	// Protocol is the group protocol, one of those above; empty is the
	// default. Backoff is the bound of the first wait before a retry; 0 is short.
	Protocol string
	Backoff  time.Duration
}

// load describes what is published, by all publisher processes together.
type load struct {
	// Processes is the number of publishers, Events of events of all together.
	Processes int
	Events    int
	// Keys are divided between the publishers.
	Keys int
	// Rate is in events per second.
	Rate int
	// Delivery is the producer's delivery timeout; 0 is its default.
	Delivery time.Duration
	// Dependent makes one key in eight one of dependent events.
	Dependent bool
	// Late is how many of Processes start only when the schedule says so.
	Late int
	// Alternating makes events of dependent keys ones of either type, in turns, in
	// publishers that know the second type.
	Alternating bool
	// Pad is the number of bytes that are added to an event.
	Pad int
	// Intruded makes an intruder write one record per Intruded events; 0 means no
	// intruder.
	Intruded int
}

// shift is the part of a load that one publisher process has.
type shift struct {
	// Index is the publisher's number, below load.Processes.
	Index int
	// Life counts restarts. The numbers of each life begin above those of the
	// one before.
	Life int
	// Events is how many this life publishes; Seed chooses their keys.
	Events int
	Seed   uint64
}

// serve is the main function of a child process.
// A process has one role for its life.
func serve(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	l, err := openLedger(t.Ledger)
	if err != nil {
		return err
	}
	// The file is closed after everything that writes to it.
	defer l.close()
	if t.Sampling > 0 {
		defer startSampling(&t, l)()
	}
	switch t.Role {
	case roleMember:
		return newMember(&t, l).serve(os.Stdin, os.Stdout)
	case rolePublisher:
		return publish(&t, l)
	case roleForeign:
		return serveForeign(&t, l)
	case roleIntruder:
		return intrude(&t, l)
	}
	return fmt.Errorf("no role %q", t.Role)
}

// bus returns a bus with connections of its own. wrap may put something before
// its transport.
func (t *task) bus(logger *slog.Logger, wrap func(*kafka.Transport) transport.Transport) (*eventbus.Bus, error) {
	config := kafka.Config{Brokers: t.Brokers}
	if config.ConsumerProtocol = t.Crew.Protocol == kip848; !config.ConsumerProtocol {
		config.Balancer = t.Crew.Protocol
	}
	// A proxied broker is dialled at the proxy, but still known by its own address.
	if len(t.Routes) > 0 {
		var dialer net.Dialer
		config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if through, ok := t.Routes[address]; ok {
				address = through
			}
			return dialer.DialContext(ctx, network, address)
		}
	}
	c := eventbus.Config{
		Service: service, Environment: environment, Logger: logger,
		SessionTimeout: t.Crew.Session, HeartbeatInterval: t.Crew.Heartbeat, RebalanceTimeout: t.Crew.Rebalance,
		Bounds:   t.Crew.Bounds,
		Producer: transport.ProducerConfig{DeliveryTimeout: t.Load.Delivery},
	}
	// Set only what a service must set, since the defaults are tested.
	if t.Crew.Defaults {
		c = eventbus.Config{Service: service, Environment: environment, Logger: logger}
	}
	return eventbus.New(wrap(kafka.New(config)), c)
}

// childLogger logs to standard error, which the parent keeps in a file. Standard
// output is for the parent.
func childLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
}
