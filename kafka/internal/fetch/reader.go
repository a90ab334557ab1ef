package fetch

import (
	"context"
	"sync"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Reader reads partitions outside any group. It implements transport.Reader.
type Reader struct {
	// fetch belongs to no group, so its Recreated is nil.
	fetch *Fetcher
	// work counts the fetcher's goroutines. stop ends them.
	work sync.WaitGroup
	stop context.CancelFunc
}

// NewReader returns a reader, which connects in the background. Its error names every invalid
// field of cfg. The caller must close the reader before client.
func NewReader(client *cluster.Client, cfg transport.ReaderConfig, rack string) (*Reader, error) {
	if err := validateReader(&cfg); err != nil {
		return nil, err
	}
	r := &Reader{}
	r.fetch = NewFetcher(client, cfg.Logger, rack, cfg.FetchBytes, cfg.ReadUncommitted, &r.work)
	r.fetch.Listener = NewListener(nobody{})
	r.fetch.Ctx, r.stop = context.WithCancel(client.Ctx)
	r.fetch.Topics = make(map[string]transport.TopicStart)
	positions := make([]transport.Assignment, 0, len(cfg.From))
	for p, from := range cfg.From {
		r.fetch.Topics[p.Topic] = transport.TopicStart{Topic: p.Topic, OutOfRange: untilWritten}
		positions = append(positions, transport.Assignment{Partition: p, Offset: max(from, 0), LeaderEpoch: -1})
	}
	// Do all of this before Run, so that no request goes past an end, and the first Poll may
	// return records. A reader's assignments needn't be announced to a Listener first.
	r.fetch.Add(positions)
	r.fetch.bound(cfg.To)
	r.fetch.Announce(positions)
	r.work.Go(r.fetch.Run)
	return r, nil
}

// validateReader fills in defaults and returns an error that names every invalid field.
func validateReader(cfg *transport.ReaderConfig) error {
	var wrong kerr.Faults
	if len(cfg.From) == 0 {
		wrong.Add("From is empty: name the partitions to read, and where each begins")
	}
	for p := range cfg.From {
		if p.Topic == "" || p.Partition < 0 {
			wrong.Add("From has partition %q, which can't be", p.String())
		}
	}
	if cfg.FetchBytes < 0 {
		wrong.Add("FetchBytes %d is negative", cfg.FetchBytes)
	}
	*cfg = cfg.WithDefaults()
	return wrong.Err("transport.ReaderConfig")
}

// Poll returns fetched batches, and waits until there are some. It implements transport.Reader.
func (r *Reader) Poll(ctx context.Context) ([]transport.Batch, error) {
	return r.fetch.Await(ctx, r.fetch.Ctx.Done())
}

// Pause stops reading partitions. Data that was fetched is kept.
func (r *Reader) Pause(partitions ...transport.Partition) { r.fetch.Pause(partitions, true) }

// Resume continues reading partitions after Pause.
func (r *Reader) Resume(partitions ...transport.Partition) { r.fetch.Pause(partitions, false) }

// Close stops all goroutines and waits for them. It ignores its context: they wait only for
// answers, and give those up when fetching ends.
func (r *Reader) Close(context.Context) error {
	r.stop()
	r.work.Wait()
	return nil
}

// nobody is the Listener of a reader, which ignores all calls: a reader's partitions are never
// assigned or revoked, and its batches show when a position has moved.
type nobody struct{}

func (nobody) Assigned([]transport.Assignment) {}

func (nobody) Revoked(context.Context, []transport.Partition) {}

func (nobody) Lost([]transport.Partition) {}

func (nobody) Skipped(transport.Partition, int64, int64, error) {}
