package redrive

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/kafka"
)

// Client reads the dead letters of a cluster and runs jobs on them. It is safe
// for concurrent use, holds no connection of its own, and needs no Close.
type Client struct {
	cluster *kafka.Transport
	cfg     Config
}

// Config configures a Client. Who is required.
type Config struct {
	// Who the process acts for, such as user@host or the name of a service.
	Who string
	// Create has jobs create the topic that they are kept in where it is missing.
	// It is for operators' programs; in Production the topic is created with the
	// others.
	Create bool
	// Logger receives every order and how it ended. Nil discards them.
	Logger *slog.Logger
}

// New returns a Client. The caller closes cluster after the last call of it.
func New(cluster *kafka.Transport, cfg Config) *Client { return &Client{cluster: cluster, cfg: cfg} }

// isBox reports whether a topic is a dead-letter topic, by its name.
func isBox(topic string) bool { return strings.HasSuffix(topic, letter.DeadSuffix) }

// Topics returns the names of the cluster's dead-letter topics, sorted.
func (c *Client) Topics(ctx context.Context) ([]string, error) {
	infos, err := c.cluster.Admin().Topics(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range infos {
		if isBox(infos[i].Name) {
			names = append(names, infos[i].Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Open returns a dead-letter topic as it is now. Its ledgers are a copy, which
// later decisions do not change.
func (c *Client) Open(ctx context.Context, topic string) (*Box, error) {
	return OpenBox(ctx, c.cluster, topic)
}

// Plan is a dry run: it counts what a job would do, and changes nothing.
func (c *Client) Plan(ctx context.Context, o Order) (Tally, error) {
	return Tally{}, errors.ErrUnsupported
}

// Submit stores an order as a job that a watching process takes up: see Watch.
func (c *Client) Submit(ctx context.Context, o Order) (Job, error) {
	return Job{}, errors.ErrUnsupported
}

// Start stores an order as a job and runs it here, as Resume does.
func (c *Client) Start(ctx context.Context, o Order, how Run) (Job, error) {
	return Job{}, errors.ErrUnsupported
}

// Run says how a job is run.
type Run struct {
	// TakeOver runs the job even if another process runs one in the same box.
	// That one ends with ErrTakenOver, and loses nothing.
	TakeOver bool
	// Progress, if not nil, is called after each transaction with the job as it
	// was committed. It must not block.
	Progress func(Job)
}

// Resume runs a job that waits, was stopped, failed, or whose process is gone,
// until it is done. It returns the job as far as it was committed.
func (c *Client) Resume(ctx context.Context, topic, id string, how Run) (Job, error) {
	return Job{}, errors.ErrUnsupported
}

// Stop stops a job wherever it runs: once Stop has returned nil, nothing more is
// changed by it. who and why are kept with the job.
func (c *Client) Stop(ctx context.Context, topic, id, who, why string) (Job, error) {
	return Job{}, errors.ErrUnsupported
}

// Jobs returns the jobs of a dead-letter topic, or of all if topic is empty, the
// latest first.
func (c *Client) Jobs(ctx context.Context, topic string) ([]Job, error) {
	return nil, errors.ErrUnsupported
}

// Watch takes up jobs that wait or whose process is gone, until ctx ends, and
// then leaves what it runs to other processes.
func (c *Client) Watch(ctx context.Context) error { return errors.ErrUnsupported }
