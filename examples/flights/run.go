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

// settings holds the flags, and what tests replace.
type settings struct {
	brokers []string
	file    string
	month   int
	json    bool
	state   string
	poison  int
	// otlp is where spans and metrics are sent, metrics the address at which
	// /metrics is served; empty turns it off.
	otlp    endpoint
	metrics string

	// connect opens the cluster. directory is where an embedded broker keeps
	// its log. Each bus gets a transport of its own, as services in processes
	// of their own would.
	connect func(brokers []string, directory string) (brokers, error)
	stdout  io.Writer
	stderr  io.Writer
	// terminal reports whether stderr is a terminal.
	terminal bool
}

// brokers is a cluster that makes transports until it is closed.
type brokers interface {
	transport() transport.Transport
	close()
}

// Bounds of waiting. A broker that was started a moment ago elects leaders for
// some seconds.
const (
	startWithin = 30 * time.Second
	drainWithin = 30 * time.Second
	stuckAfter  = time.Minute // without an event handled
	askEvery    = 100 * time.Millisecond
)

// errStopped is the error of a run that a signal ended early.
var errStopped = errors.New("stopped")

// demo is one run.
type demo struct {
	settings
	source *source
	says   *tally
	run    *state

	airport *airport
	board   *board
	// buses are the airport's and the board's.
	buses    [2]*eventbus.Bus
	poisoner *poisoner
	// raw writes the malformed records and asks for the number of dead letters,
	// which lie in letters.
	raw     transport.Transport
	letters string

	telemetry telemetry
}

// run publishes and handles everything, and returns the result. If a signal
// ends it early the error is errStopped.
func run(ctx context.Context, s settings) (*report, error) {
	d := &demo{settings: s, telemetry: telemetry{otlp: s.otlp}}
	var err error
	if d.source, err = openSource(s.file, s.month); err != nil {
		return nil, err
	}
	// The whole source is read before a broker is started: a fault in it ends the run
	// before anything is published.
	if d.says, err = d.source.survey(); err != nil {
		return nil, err
	}
	if d.run, err = openState(s.state, d.source); err != nil {
		return nil, err
	}
	directory := ""
	if s.state != "" {
		// The log has to outlive the process with the ledgers, which name its offsets.
		directory = filepath.Join(s.state, embeddedDirectory)
	}
	cluster, err := s.connect(s.brokers, directory)
	if err != nil {
		return nil, err
	}
	// Runs last: the buses still commit to it while they close.
	defer cluster.close()
	// After the buses are closed: their last spans are exported too.
	defer d.telemetry.close()
	d.telemetry.reportOnce(s.stderr)
	if err := d.open(ctx, cluster); err != nil {
		// close ends what open has made by then, and passes over the rest.
		return nil, errors.Join(err, d.close())
	}
	began := time.Now()
	r, err := d.flow(ctx)
	// r is nil if the run was stopped: the next one with its state has the result.
	if r != nil {
		r.Seconds = time.Since(began).Seconds()
		r.health = quietHealth(ctx, d.buses[1])
		d.linger(ctx)
	}
	return r, errors.Join(err, d.close())
}

// quietHealth returns the health of a bus that has nothing left to do. A dead
// letter is counted in the log a moment before its acknowledgement arrives
// here, so the bus may need some milliseconds to become healthy.
func quietHealth(ctx context.Context, bus *eventbus.Bus) eventbus.Health {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for {
		// Nothing signals a change of the health, so it is asked for again.
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

// open makes the two services and starts them.
func (d *demo) open(ctx context.Context, c brokers) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	d.raw = c.transport()
	// Asked first, so that a wrong address fails with an error about it.
	answer, err := d.raw.Cluster(ctx)
	if err != nil {
		return fmt.Errorf("no broker answers: %w", err)
	}
	// Before topics are created: the ledgers of another cluster mean nothing here.
	if err := d.run.bind(d.state, answer.ID); err != nil {
		return err
	}
	topic := aviation.DepartedTopic.In(d.run.Environment)
	// The dead-letter topic of the group that the board's bus joins.
	d.letters = topic + ".delay-board-" + d.run.Environment + ".dlq"
	// Dead letters are warned about, and expected here: the report counts them.
	logger := slog.New(slog.NewTextHandler(d.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	// The second name is a part of d.letters, by the bus's rule for groups.
	for i, name := range []string{"airport", "delay-board"} {
		if d.buses[i], err = d.newBus(ctx, c, name, logger); err != nil {
			return err
		}
	}
	if d.metrics != "" {
		// After newBus, which has made the registries that are served.
		if err := d.telemetry.serve(ctx, d.metrics); err != nil {
			return err
		}
	}
	// A plain producer, since no bus publishes a malformed record.
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
	// Before Start, after which a bus takes no more subscriptions.
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
	// No caller waits for an answer: while a broker is down, events had better
	// wait than be refused.
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

// linger keeps the process, and with it /metrics, until Ctrl-C.
func (d *demo) linger(ctx context.Context) {
	if d.telemetry.address != nil && ctx.Err() == nil {
		_, _ = fmt.Fprintf(d.stderr, "all is handled; metrics are at %s until Ctrl-C\n", d.telemetry.url())
		<-ctx.Done()
	}
}

// flow runs the airport and the board until everything has been handled, and
// returns the result.
func (d *demo) flow(ctx context.Context) (*report, error) {
	// Said at once, since finishing may take half a minute.
	stop := context.AfterFunc(ctx, func() { _, _ = fmt.Fprintln(d.stderr, "stopping: what has been handed over is finished") })
	defer stop()
	// Acknowledgements are awaited a while longer than the signal: what was
	// handed over should be in the ledger.
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
	// Before anything else is printed, since the bar leaves its line unfinished.
	showing()
	// A signal makes the totals incomplete, so there is nothing to compare.
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

// await waits until the board has handled everything. It gives up when nothing
// has been handled for a long time: the report then shows what is missing.
func (d *demo) await(ctx context.Context, total int) error {
	stuck := time.NewTimer(stuckAfter)
	defer stuck.Stop()
	// changed holds one token for any number of events, so the count decides.
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

// awaitLetters returns the number of dead letters, once there are as many as
// there should be, or after a while the number that there is.
func (d *demo) awaitLetters(ctx context.Context) (n int, err error) {
	// A malformed record is not handled, so the board can't say when all are there.
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for give := time.Now().Add(startWithin); ; {
		if n, err = d.countLetters(ctx); err != nil {
			return n, fmt.Errorf("counting the dead letters: %w", err)
		}
		// More than there should be ends the wait too: the report shows the difference.
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

// countLetters returns the number of records in the dead-letter topic.
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
	// Offsets are enough to count by: the records need not be read.
	n := 0
	for p, end := range ends {
		n += int(end - starts[p])
	}
	return n, err
}

// close stops the airport first, then the board, then what they use. Everything
// that was handled has been committed when it returns: no later run handles it
// again.
func (d *demo) close() error {
	// Not run's context, which a signal has ended.
	ctx, cancel := context.WithTimeout(context.Background(), drainWithin)
	defer cancel()
	// Each step is taken even if one before it failed: the ledgers are to be whole.
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
		// After the buses: nothing writes to the ledgers any more.
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
