package redrive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// Client reads the dead letters of a cluster and runs jobs on them. It is safe
// for concurrent use, holds no connection of its own, and needs no Close.
type Client struct {
	cluster *kafka.Transport
	cfg     Config
	process string // random: this Client in fences, and in the id of what it stores
	lease   time.Duration
	events  int // in a transaction, at most

	recognized sync.Map // ids of dead-letter topics with chosen names, by name

	books turn // guards book
	book  book

	orders turn // one order at a time: a second transaction would fence the first

	running sync.Map // by Holder.Process: the runs of this Client
}

// turn is a lock whose waiters give up when their contexts end: its holder may be waiting for
// a broker that is down. Its capacity is one.
type turn chan struct{}

// take acquires the lock. It returns the context's error if ctx ends first; otherwise the caller
// must call give.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// Config configures a Client. Who is required.
type Config struct {
	// Who is the person or service that the process acts for, such as user@host.
	Who string
	// Create makes orders create Topic if it is missing. It is for operators'
	// programs; in Production Topic is created with the other topics.
	Create bool
	// Logger logs every order and how it ended. Nil discards them.
	Logger *slog.Logger
}

// New returns a Client. The caller closes cluster after its last call of the Client.
func New(cluster *kafka.Transport, cfg Config) *Client {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Client{cluster: cluster, cfg: cfg, process: random(8), lease: Lease, events: maxEvents, books: make(turn, 1), book: book{cluster: cluster}, orders: make(turn, 1)}
}

// mayBeBox reports whether a topic may be a dead-letter topic, by its name.
func mayBeBox(topic string) bool {
	return naming.CheckTopicName(topic) == nil && topic != Topic && !strings.HasPrefix(topic, "__") && !naming.IsRetry(topic)
}

// Topics returns the sorted names of the cluster's dead-letter topics: those whose names
// say so, those about whose letters something was decided, and those of known that exist.
// It finds no other topic with a chosen name.
func (c *Client) Topics(ctx context.Context, known ...string) ([]string, error) {
	infos, err := c.cluster.Admin().Topics(ctx)
	if err != nil {
		return nil, err
	}
	// Errors are ignored here: Open reports decisions that can't be read.
	_, _ = c.glancing(ctx, func(from *book) (bool, error) {
		known = slices.AppendSeq(slices.Clip(known), maps.Keys(from.boxes))
		return true, nil
	})
	var names []string
	for i := range infos {
		if name := infos[i].Name; naming.IsDead(name) || slices.Contains(known, name) && mayBeBox(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// recently is how old the decisions that Open shows may be. A console opens the boxes of a
// cluster one after another, and Topic is read once for all of them.
const recently = 200 * time.Millisecond

// glancing is like reading, for calls that only show decisions: they may be slightly old,
// but include everything that this Client stored itself.
func (c *Client) glancing(ctx context.Context, do func(*book) (bool, error)) (bool, error) {
	if err := c.books.take(ctx); err != nil {
		return false, err
	}
	defer c.books.give()
	if time.Since(c.book.read) > recently {
		if err := c.book.refresh(ctx); err != nil {
			return false, err
		}
	}
	return do(&c.book)
}

// provide makes sure that Topic exists, and creates it if the Client may.
func (c *Client) provide(ctx context.Context, letters *transport.TopicInfo) error {
	_, exists, err := describe(ctx, c.cluster)
	switch {
	case err != nil || exists:
		return err
	case !c.cfg.Create:
		return ErrNoTopic
	}
	// Topic gets as many replicas, and as many in sync, as the letters have.
	spec := declare.Ledger(&transport.TopicSpec{Replication: letters.Replication, Configs: letters.Configs})
	if err := c.cluster.Admin().CreateTopics(ctx, spec); err != nil {
		return fmt.Errorf("%w; creating it failed: %w", ErrNoTopic, err)
	}
	return nil
}

// reading brings the book up to date, and calls do with it. Calls take turns, so that only
// one of them reads.
func (c *Client) reading(ctx context.Context, do func(*book) (bool, error)) (bool, error) {
	if err := c.books.take(ctx); err != nil {
		return false, err
	}
	defer c.books.give()
	if err := c.book.refresh(ctx); err != nil {
		return false, err
	}
	return do(&c.book)
}

// Open returns a dead-letter topic as it is now. It reads the bounds of the log and the
// decisions, but no letters. Later decisions do not change the Box.
func (c *Client) Open(ctx context.Context, topic string) (*Box, error) {
	b, err := c.openLog(ctx, topic)
	if err != nil {
		return nil, err
	}
	read := func(from *book) (bool, error) { return true, b.read(ctx, from) }
	if _, err = c.glancing(ctx, read); errors.Is(err, ErrLost) {
		// Another process may have made its first decision since the book was read. Ledgers are
		// written before the marker, so reading again finds them.
		_, err = c.reading(ctx, read)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Preview is what a dry run finds. Names are sorted.
type Preview struct {
	Tally Tally
	// Until restricts an order to the letters that were counted, for Order.Until.
	Until map[int32]int64
	// Through lists the retry topics that a Replay would use, for Order.Through.
	Through []string
	// Alone lists up to a hundred retry topics that letters name but can't come back
	// through: they do not exist, have too few partitions, or may not be used.
	// Tally.Foreign counts these letters, among others.
	Alone []string
}

// Plan is a dry run: it counts what a job would do, and changes nothing. Of the retry
// topics that letters name, a Replay uses those that may allows, or all if may is nil.
func (c *Client) Plan(ctx context.Context, o Order, may func(topic string) bool) (Preview, error) {
	b, err := c.Open(ctx, o.Topic)
	if err != nil {
		return Preview{}, err
	}
	o = o.withDefaults()
	if err := o.Filter.Validate(); err != nil {
		return Preview{}, err
	}
	if o.Action == Purge {
		return Preview{Tally: Tally{Deleted: b.Purgeable(o.IncludingOpen).Letters}, Until: b.Bounds()}, nil
	}
	// A walk without a session only counts. What would stop the job shows now rather than when
	// it runs.
	j := newJob(o, b)
	w := newWalk(b, nil, &j, maxEvents, nil)
	w.may = may
	err = w.run(ctx)
	w.pending.Foreign = w.foreign
	return Preview{w.pending, j.End, slices.Sorted(maps.Keys(w.used)), slices.Sorted(maps.Keys(w.alone))}, err
}

// Jobs returns the jobs of a dead-letter topic, or of all if topic is empty, latest first.
// The error reports records that can't be read; the other jobs are returned.
func (c *Client) Jobs(ctx context.Context, topic string) (jobs []Job, err error) {
	var found []*Job
	_, err = c.reading(ctx, func(b *book) (bool, error) {
		var wrong error
		for name, e := range b.boxes {
			if topic != "" && name != topic {
				continue
			}
			// Readable jobs are returned despite the error.
			if _, err := b.of(name); err != nil {
				wrong = err
			}
			for _, j := range e.jobs {
				own := *j
				found = append(found, &own)
			}
		}
		return true, wrong
	})
	// found holds copies, since the book changes.
	slices.SortFunc(found, newestFirst)
	for _, j := range found {
		jobs = append(jobs, *j)
	}
	return jobs, err
}

// Find returns the job with an id, whatever its topic. The error is ErrNoJob if there is
// none.
func (c *Client) Find(ctx context.Context, id string) (Job, error) {
	jobs, err := c.Jobs(ctx, "")
	// A damaged record does not hide a job that was found.
	if i := slices.IndexFunc(jobs, func(j Job) bool { return j.ID == id }); i >= 0 {
		return jobs[i], nil
	}
	if err == nil {
		err = noJob(id)
	}
	return Job{}, err
}

// Runs reports whether this Client runs a job, as its holder.
func (c *Client) Runs(j *Job) bool {
	_, runs := c.running.Load(j.Holder.Process)
	return runs && j.State == Running
}

// Bounds returns the end of each partition by its number, for Order.Until.
func (b *Box) Bounds() map[int32]int64 {
	end := make(map[int32]int64, len(b.End))
	for p, e := range b.End {
		end[p.Partition] = e
	}
	return end
}

// store stores a job without claiming its box, under a transactional id of this process.
func (c *Client) store(ctx context.Context, r transport.Record) error {
	if err := c.orders.take(ctx); err != nil {
		return err
	}
	defer c.orders.give()
	x, err := kafka.NewTransactor(ctx, c.cluster, Group+".submit."+c.process, kafka.TransactorConfig{Timeout: transactionTimeout})
	if err != nil {
		return err
	}
	// write uses only the transactor of the session.
	s := session{x: x}
	return s.write(ctx, r)
}

// Submit stores an order as a job for a process that watches to run; see Watch. The job waits
// its turn if another job of the topic is running.
func (c *Client) Submit(ctx context.Context, o Order) (Job, error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return Job{}, err
	}
	b, err := c.openLog(ctx, o.Topic)
	if err != nil {
		return Job{}, err
	}
	if err := c.provide(ctx, &b.info); err != nil {
		return Job{}, err
	}
	// Nothing is claimed: the key is new, so no other process writes it.
	j := newJob(o, b)
	r, err := pack(place{kind: kindJob, topic: j.Topic, job: j.ID}, jobRecord{version, j})
	if err != nil {
		return Job{}, err
	}
	if err := c.store(ctx, r); err != nil {
		return Job{}, err
	}
	c.settle(ctx, &j)
	c.log("dead-letter job ordered", &j)
	return j, nil
}
