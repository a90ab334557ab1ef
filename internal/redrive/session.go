package redrive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// transactionTimeout is when the cluster aborts the transaction of a process that was killed.
// Until then it may delay others.
const transactionTimeout = 15 * time.Second

// session is the right to decide about a box. Only the latest session can commit: all earlier
// ones are fenced, in whichever process. It must not be used concurrently, nor after an error
// of commit.
type session struct {
	client *Client
	box    *Box
	x      *kafka.Transactor
	// jobs are the jobs of the box when the session began, updated by commits.
	jobs map[string]*Job
	// unmarked is set if the box lacks its markers.
	unmarked bool
}

// claim fences all other sessions of a box. It writes a fence and reads until it finds it:
// everything that earlier sessions committed is before the fence, and what they left open has
// been aborted.
func (c *Client) claim(ctx context.Context, topic string) (*session, error) {
	box, err := c.openLog(ctx, topic)
	if err != nil {
		return nil, err
	}
	return c.claimBox(ctx, box)
}

// claimJobs is like claim, but also claims the box of a topic that was deleted, which is empty:
// a job outlives its dead-letter topic, and must still be ended.
func (c *Client) claimJobs(ctx context.Context, topic string) (*session, error) {
	box, err := c.openLog(ctx, topic)
	if errors.Is(err, transport.ErrTopicMissing) {
		box, err = &Box{Topic: topic, cluster: c.cluster}, nil
	}
	if err != nil {
		return nil, err
	}
	return c.claimBox(ctx, box)
}

// claimBox claims a box whose ledgers have not been read yet.
func (c *Client) claimBox(ctx context.Context, box *Box) (*session, error) {
	if err := c.provide(ctx, &box.info); err != nil {
		return nil, err
	}
	// The transactional id belongs to the box: a new producer with it fences the previous one,
	// whose open transaction is aborted (KIP-98). Events are compressed: a letter at the size
	// limit may have been stored compressed, and would not fit otherwise.
	x, err := kafka.NewTransactor(ctx, c.cluster, Group+"."+box.Topic, kafka.TransactorConfig{Compression: "gzip", Timeout: transactionTimeout})
	if err != nil {
		return nil, err
	}
	s := &session{client: c, box: box, x: x}
	// The nonce distinguishes this claim from earlier ones of this process.
	mine := fenceRecord{V: version, Nonce: random(8), Holder: c.holder()}
	fence, err := pack(place{kind: kindFence, topic: box.Topic}, mine)
	if err != nil {
		return nil, err
	}
	if err := s.write(ctx, fence); err != nil {
		return nil, err
	}
	return s, s.catchUp(ctx, mine.Nonce)
}

// catchUp reads Topic up to a fence, and so the ledgers and jobs.
func (s *session) catchUp(ctx context.Context, nonce string) error {
	for began := time.Now(); ; {
		met, err := s.client.reading(ctx, func(b *book) (bool, error) {
			e, err := b.of(s.box.Topic)
			if err != nil || !slices.Contains(e.fences, nonce) {
				return false, err
			}
			// Another process has claimed the box since, so this may be outdated.
			if e.fences[len(e.fences)-1] != nonce {
				return false, fmt.Errorf("%s: %w", s.box.Topic, transport.ErrFenced)
			}
			s.jobs = make(map[string]*Job, len(e.jobs))
			for id, j := range e.jobs {
				own := *j
				s.jobs[id] = &own
			}
			return true, s.box.read(ctx, b)
		})
		switch {
		case err != nil:
			return err
		case met:
			s.unmarked, err = s.box.unmarked(ctx)
			return err
		// An open transaction, of any box, hides what follows it from readers until the cluster
		// aborts it.
		case time.Since(began) > 4*transactionTimeout:
			return fmt.Errorf("topic %s: a transaction that does not end keeps what was decided from being read", Topic)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// holder returns this process as the holder of a job from now on.
func (c *Client) holder() Holder {
	now := time.Now().UTC()
	return Holder{Process: c.process, Who: c.cfg.Who, Since: now, Renewed: now}
}

// held returns the job that a process is running in the box, or nil.
func (s *session) held(how Run) *Job {
	e := entries{jobs: s.jobs}
	return e.held(how.live())
}

// commit stores jobs and changed ledgers, and writes events, in one transaction.
func (s *session) commit(ctx context.Context, events []transport.Record, jobs ...*Job) error {
	// A copy, since append could write into the caller's array.
	records := slices.Clone(events)
	// In a fixed order, so that two runs write the same.
	for _, p := range slices.SortedFunc(maps.Keys(s.box.ledgers), transport.Partition.Compare) {
		changed, err := s.changes(p, s.box.ledgers[p])
		if err != nil {
			return err
		}
		records = append(records, changed...)
	}
	for _, j := range jobs {
		r, err := pack(place{kind: kindJob, topic: s.box.Topic, job: j.ID}, jobRecord{version, *j})
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	if err := s.write(ctx, append(records, s.outdated()...)...); err != nil {
		return err
	}
	// Only now, since a failed transaction stores nothing: it ends the session, and the next one
	// reads what is stored.
	for _, l := range s.box.ledgers {
		l.moved = false
		clear(l.changed)
	}
	for _, j := range jobs {
		own := *j
		s.jobs[j.ID] = &own
	}
	return s.mark(ctx)
}

// changes returns the records of a ledger that differ from what is stored.
func (s *session) changes(p transport.Partition, l *ledger) ([]transport.Record, error) {
	var records []transport.Record
	if l.moved {
		r, err := pack(place{kind: kindPartition, topic: p.Topic, partition: p.Partition},
			partitionRecord{V: version, Topic: s.box.identity(), Base: l.base, Replayed: l.replayed, Skipped: l.skipped})
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	for _, n := range slices.Sorted(maps.Keys(l.changed)) {
		// A missing page is complete, or belongs to a topic that was deleted.
		r := transport.Record{Topic: Topic, Key: place{kind: kindPage, topic: p.Topic, partition: p.Partition, page: n}.key()}
		if content := l.pages[n]; content != nil {
			r.Value = packPage(s.box.info.ID, content)
		}
		records = append(records, r)
	}
	return records, nil
}

// keptJobs is how many finished jobs of a box are kept.
const keptJobs = 100

// outdated returns the records that remove the oldest finished jobs.
func (s *session) outdated() (records []transport.Record) {
	var ended []*Job
	for _, j := range s.jobs {
		if j.State == Done {
			ended = append(ended, j)
		}
	}
	slices.SortFunc(ended, newestFirst)
	for _, j := range ended[min(keptJobs, len(ended)):] {
		delete(s.jobs, j.ID)
		// A record without a value removes the key once Topic is compacted.
		records = append(records, transport.Record{Topic: Topic, Key: place{kind: kindJob, topic: s.box.Topic, job: j.ID}.key()})
	}
	return records
}

// write writes records in one transaction.
func (s *session) write(ctx context.Context, records ...transport.Record) error {
	err := s.x.Produce(ctx, records...)
	if err == nil {
		err = s.x.Commit(ctx)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, transport.ErrOutcomeUnknown) {
		// This spares readers a wait. The next claim aborts too, and finds out what became of a
		// transaction whose outcome is unknown.
		within, cancel := context.WithTimeout(ctx, leaving)
		defer cancel()
		_ = s.x.Abort(within)
	}
	return err
}

// mark puts the markers into GroupKept, against earlier versions and loss. It does so only
// once the ledgers can be read, since a marker without ledgers means that they are lost. If
// an open transaction of any box hides them for long, a later commit sets the markers.
func (s *session) mark(ctx context.Context) error {
	if !s.unmarked || !s.client.sees(ctx, s.box.kept) {
		return nil
	}
	commits := make([]transport.Commit, 0, len(s.box.End))
	for p := range s.box.End {
		commits = append(commits, marker(p, s.box.info.ID))
	}
	if err := kafka.NewAdmin(s.client.cluster).KeepOffsets(ctx, GroupKept, commits...); err != nil {
		return err
	}
	s.unmarked = false
	return nil
}

// random returns n random bytes in hexadecimal.
func random(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // it never fails
	return hex.EncodeToString(raw)
}
