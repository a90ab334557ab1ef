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

// taskVariable holds the task of a child process.
const taskVariable = "EVENTBUS_CHAOS_TASK"

// task is what a child process is to do.
type task struct {
	Role    string   `json:"role"` // roleMember, rolePublisher, roleForeign
	Brokers []string `json:"brokers"`
	// Routes says where to dial for an address of a broker: a proxy.
	Routes map[string]string `json:"routes,omitempty"`
	Topic  contract          `json:"topic"`
	Ledger string            `json:"ledger"`
	Crew   crew              `json:"crew,omitzero"`
	Load   load              `json:"load,omitzero"`
	Shift  shift             `json:"shift,omitzero"`
	// Number is the process's, and Sampling how often it tells what it is like; 0:
	// never.
	Number   uint16        `json:"number"`
	Sampling time.Duration `json:"sampling,omitzero"`
}

const (
	roleMember    = "member"
	rolePublisher = "publisher"
	roleForeign   = "foreign"
)

// crew is how the consumers of a scenario work.
type crew struct {
	Processes, Buses   int           // Buses in all
	Concurrency        int           // of each subscription
	Work               time.Duration // of each handler
	Session, Heartbeat time.Duration
	Rebalance          time.Duration
	Poison             uint32 // one key in so many fails at every attempt; 0: none
	Failing            uint32 // one key in so many fails for failingFor, then works for as long, and so on; 0: none
	Dependent          bool   // also subscribe to the dependent events
	Bounds             eventbus.Bounds
}

// load is what is published.
type load struct {
	Processes int
	Events    int // in all
	Keys      int
	Rate      int           // events a second, in all
	Delivery  time.Duration // deadline; 0: the producer's own
	Dependent bool          // one key in eight is one of dependent events
	Pad       int           // bytes
}

// shift is one publisher process's part of a load.
type shift struct {
	Index int // which of load.Processes
	// Life counts the restarts: each life's numbers begin higher.
	Life   int
	Events int
	Seed   uint64
}

// serve is a child's main.
func serve(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	l, err := openLedger(t.Ledger)
	if err != nil {
		return err
	}
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
	}
	return fmt.Errorf("no role %q", t.Role)
}

// bus makes a bus of its own, with connections of its own. wrap may put something
// before its transport.
func (t *task) bus(logger *slog.Logger, wrap func(*kafka.Transport) transport.Transport) (*eventbus.Bus, error) {
	config := kafka.Config{Brokers: t.Brokers}
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
	return eventbus.New(wrap(kafka.New(config)), c)
}

// childLogger writes to standard error, which the parent keeps in a file.
func childLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
}
