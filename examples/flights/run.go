package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/flights/contracts/aviation"
	"github.com/eventbus-go/eventbus/transport"
)

// settings are what the flags say, and how to reach the cluster.
type settings struct {
	brokers []string
	file    string
	month   int
	json    bool
	state   string
	poison  int
	otlp    endpoint // where spans and metrics are sent; empty: nowhere
	metrics string   // address of /metrics; empty: nowhere

	// connect opens the cluster; each bus has a transport of its own. The
	// directory is where an embedded broker keeps its log.
	connect func(brokers []string, directory string) (brokers, error)
	stdout  io.Writer
	stderr  io.Writer
	// terminal says that stderr is one.
	terminal bool
}

// brokers make transports, until they are closed.
type brokers interface {
	transport() transport.Transport
	close()
}

// Bounds of waiting.
const (
	startWithin = 30 * time.Second
	drainWithin = 30 * time.Second
	stuckAfter  = time.Minute // without an event handled
	askEvery    = 100 * time.Millisecond
)

// errStopped says that a signal ended the run before its end.
var errStopped = errors.New("stopped")

// demo is one run.
type demo struct {
	settings
	source *source
	says   *tally // what the source says
	run    *state

	airport  *airport
	board    *board
	buses    [2]*eventbus.Bus // the airport's and the board's
	poisoner *poisoner
	raw      transport.Transport // of the poison and of questions
	letters  string              // the dead-letter topic

	telemetry telemetry
}

// run publishes and handles everything, and tells how it went.
func run(ctx context.Context, s settings) (*report, error) {
	d := &demo{settings: s, telemetry: telemetry{otlp: s.otlp}}
	var err error
	if d.source, err = openSource(s.file, s.month); err != nil {
		return nil, err
	}
	if d.says, err = d.source.survey(); err != nil {
		return nil, err
	}
	if d.run, err = openState(s.state, d.source); err != nil {
		return nil, err
	}
	directory := ""
	if s.state != "" {
		directory = filepath.Join(s.state, embeddedDirectory)
	}
	cluster, err := s.connect(s.brokers, directory)
	if err != nil {
		return nil, err
	}
	defer cluster.close()
	defer d.telemetry.close() // after the buses have said their last
	d.telemetry.complain(s.stderr)
	if err := d.open(ctx, cluster); err != nil {
		return nil, errors.Join(err, d.close())
	}
	began := time.Now()
	r, err := d.flow(ctx)
	if r != nil {
		r.Seconds = time.Since(began).Seconds()
		r.health = settled(ctx, d.buses[1])
		d.linger(ctx)
	}
	return r, errors.Join(err, d.close())
}

// settled is the health of a bus once it has nothing left to do: a dead letter is
// in the log a moment before its acknowledgement is here.
func settled(ctx context.Context, bus *eventbus.Bus) eventbus.Health {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for {
		h := bus.Health(ctx)
		if h.Status == eventbus.Healthy || ctx.Err() != nil {
			return h
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// open makes the services and starts them.
func (d *demo) open(ctx context.Context, c brokers) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	d.raw = c.transport()
	answer, err := d.raw.Cluster(ctx)
	if err != nil {
		return fmt.Errorf("no broker answers: %w", err)
	}
	if err := d.run.bind(d.state, answer.ID); err != nil {
		return err
	}
	topic := aviation.DepartedTopic.In(d.run.Environment)
	d.letters = topic + ".delay-board-" + d.run.Environment + ".dlq"
	// Dead letters are warned about, and expected here: the report counts them.
	logger := slog.New(slog.NewTextHandler(d.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	for i, name := range []string{"airport", "delay-board"} {
		if d.buses[i], err = d.newBus(ctx, c, name, logger); err != nil {
			return err
		}
	}
	if d.metrics != "" {
		if err := d.telemetry.serve(ctx, d.metrics); err != nil {
			return err
		}
	}
	producer, err := d.raw.NewProducer(transport.ProducerConfig{})
	if err != nil {
		return err
	}
	d.poisoner = &poisoner{producer: producer, topic: topic, n: d.poison}
	if d.airport, err = newAirport(d.buses[0], d.poisoner, d.state); err != nil {
		return err
	}
	if d.board, err = newBoard(d.state); err != nil {
		return err
	}
	if err := d.buses[1].Add(d.board.subscriptions()...); err != nil {
		return err
	}
	for _, bus := range d.buses {
		if err := bus.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// newBus makes the bus of a service.
func (d *demo) newBus(ctx context.Context, c brokers, name string, logger *slog.Logger) (*eventbus.Bus, error) {
	config := eventbus.Config{Service: name, Environment: d.run.Environment, AutoProvision: eventbus.ProvisionAlways, Logger: logger}
	exports, err := d.telemetry.of(ctx, name, d.metrics != "")
	if err != nil {
		return nil, err
	}
	// Nobody waits for an answer: while a broker is down, what is to be published
	// had better wait than be refused.
	config.PublishBreaker.Disabled = true
	// A nil pointer in an interface would not be nil.
	if exports.tracer != nil {
		config.TracerProvider = exports.tracer
	}
	if exports.meter != nil {
		config.MeterProvider = exports.meter
	}
	return eventbus.New(c.transport(), config)
}

// linger keeps /metrics for those who want to look at it.
func (d *demo) linger(ctx context.Context) {
	if d.telemetry.address != nil && ctx.Err() == nil {
		_, _ = fmt.Fprintf(d.stderr, "all is handled; metrics are at %s until Ctrl-C\n", d.telemetry.url())
		<-ctx.Done()
	}
}

// flow lets the airport publish and the board handle, until all is done.
func (d *demo) flow(ctx context.Context) (*report, error) {
	stop := context.AfterFunc(ctx, func() { _, _ = fmt.Fprintln(d.stderr, "stopping: what has been handed over is finished") })
	defer stop()
	// What was handed over is waited for a while longer than the signal.
	patience, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainWithin, cancel) })()

	total := d.says.total()
	p := newProgress(d.settings, total)
	showing := p.show(func() (int, int) { return int(d.airport.published.Load()), d.board.handled() })
	err := d.airport.publish(ctx, patience, d.source, total)
	if err == nil {
		err = d.await(ctx, total)
	}
	showing()
	if ctx.Err() != nil {
		return nil, errors.Join(err, errStopped)
	}
	if err != nil {
		return nil, err
	}
	letters, err := d.awaitLetters(ctx)
	if err != nil {
		return nil, err
	}
	return d.report(letters), nil
}

// await waits until the board has handled everything. What is missing for long
// will show in the report.
func (d *demo) await(ctx context.Context, total int) error {
	stuck := time.NewTimer(stuckAfter)
	defer stuck.Stop()
	for d.board.handled() < total {
		select {
		case <-d.board.changed:
			stuck.Reset(stuckAfter)
		case <-stuck.C:
			_, _ = fmt.Fprintln(d.stderr, "nothing was handled for", stuckAfter)
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// awaitLetters counts the dead letters, once there are as many as there should
// be, or after a while.
func (d *demo) awaitLetters(ctx context.Context) (n int, err error) {
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for give := time.Now().Add(startWithin); ; {
		if n, err = d.countLetters(ctx); err != nil {
			return n, fmt.Errorf("counting the dead letters: %w", err)
		}
		if n >= int(d.airport.poisoned.Load()) || time.Now().After(give) {
			return n, nil
		}
		select {
		case <-ask.C:
		case <-ctx.Done():
			return n, nil
		}
	}
}

func (d *demo) countLetters(ctx context.Context) (int, error) {
	infos, err := d.raw.Admin().Topics(ctx, d.letters)
	if err != nil {
		return 0, err
	}
	var partitions []transport.Partition
	for n := range infos[0].Partitions {
		partitions = append(partitions, transport.Partition{Topic: d.letters, Partition: n})
	}
	starts, err := d.raw.Admin().Offsets(ctx, transport.Earliest(), partitions...)
	if err != nil {
		return 0, err
	}
	ends, err := d.raw.Admin().Offsets(ctx, transport.Latest(), partitions...)
	n := 0
	for p, end := range ends {
		n += int(end - starts[p])
	}
	return n, err
}

// close ends the airport, then the board, then what is below them. After it
// nothing that was handled will be handled again.
func (d *demo) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainWithin)
	defer cancel()
	var errs []error
	for _, bus := range d.buses {
		if bus != nil {
			errs = append(errs, bus.Close(ctx))
		}
	}
	if d.poisoner != nil {
		errs = append(errs, d.poisoner.producer.Close(ctx))
	}
	if d.airport != nil {
		errs = append(errs, d.airport.ledger.close())
	}
	if d.board != nil {
		errs = append(errs, d.board.close())
	}
	if d.raw != nil {
		errs = append(errs, d.raw.Close(ctx))
	}
	return errors.Join(errs...)
}
