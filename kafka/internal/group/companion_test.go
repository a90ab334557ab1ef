package group

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/transport"
)

// withCompanion adds topic "again" as the companion of "events".
func withCompanion(cfg *transport.ConsumerConfig) {
	cfg.Topics = append(cfg.Topics, transport.TopicStart{Topic: "again", CompanionOf: "events"})
}

// subscribing adds topic "again" as members of older versions do, which know no
// companions: it subscribes to the topic.
func subscribing(cfg *transport.ConsumerConfig) {
	cfg.Topics = append(cfg.Topics, transport.TopicStart{Topic: "again"})
}

// publishAgain writes a record to a partition of "again".
func publishAgain(b *bed.Bed, p transport.Producer, partition int32, value string) {
	b.T.Helper()
	done := make(bed.Receipt, 1)
	if err := p.Produce(b.T.Context(), &transport.Record{Topic: "again", Partition: partition, Value: []byte(value)}, done); err != nil {
		b.T.Fatal(err)
	}
	b.Delivered(done)
}

// together waits until each partition of "again" is owned by the reader that owns
// the corresponding partition of "events", and by no other.
func together(t *testing.T, events, again int, readers ...*reader) {
	t.Helper()
	state := func() string {
		owners := make(map[transport.Partition][]int)
		for i, r := range readers {
			r.mu.Lock()
			for p := range r.owned {
				owners[p] = append(owners[p], i)
			}
			r.mu.Unlock()
		}
		for n := range again {
			p := transport.Partition{Topic: "again", Partition: int32(n)}
			lead := transport.Partition{Topic: "events", Partition: int32(n % events)}
			if len(owners[p]) != 1 || !slices.Equal(owners[p], owners[lead]) {
				return fmt.Sprintf("%v has owners %v, %v has %v", p, owners[p], lead, owners[lead])
			}
		}
		return ""
	}
	wrong := ""
	for range 600 {
		if wrong = state(); wrong == "" {
			return
		}
		time.Sleep(100 * time.Millisecond) // the clock is the bubble's
	}
	t.Fatal(wrong)
}

// TestCompanion: the partitions of a companion follow those of its topic, whatever
// their number, and don't count in the balance: members share the topic as if it
// were alone.
func TestCompanion(t *testing.T) {
	for _, partitions := range []int32{2, 4, 6} {
		t.Run(fmt.Sprint(partitions, " of 4"), func(t *testing.T) {
			bothProtocols(t, 4, func(t *testing.T, b *bed.Bed) {
				if err := b.CreateTopic("again", partitions, nil); err != nil {
					t.Fatal(err)
				}
				l := newLedger()
				first := startReader(b, l, withCompanion)
				together(t, 4, int(partitions), first)
				second := startReader(b, l, withCompanion)
				second.await("half of the topic", func() bool { return second.ownedOf("events") == 2 })
				together(t, 4, int(partitions), first, second)
				p := startProducer(b, transport.ProducerConfig{})
				for n := range partitions {
					publishAgain(b, p, n, fmt.Sprint("again ", n))
				}
				l.await(t, int(partitions))
				second.close()
				together(t, 4, int(partitions), first)
				for n := range partitions {
					publishAgain(b, p, n, fmt.Sprint("once more ", n))
				}
				l.await(t, 2*int(partitions))
				time.Sleep(time.Minute)
				if n := l.records(); n != 2*int(partitions) {
					t.Errorf("%d records were read, want each of %d once", n, 2*partitions)
				}
			})
		})
	}
}

// TestCompanionOfGrowing: if a topic gets more partitions, its companion's
// partitions follow them.
func TestCompanionOfGrowing(t *testing.T) {
	bothProtocols(t, 2, func(t *testing.T, b *bed.Bed) {
		if err := b.CreateTopic("again", 4, nil); err != nil {
			t.Fatal(err)
		}
		l := newLedger()
		first, second := startReader(b, l, withCompanion), startReader(b, l, withCompanion)
		together(t, 2, 4, first, second)
		grow(b, "events", 4)
		together(t, 4, 4, first, second)
		grow(b, "again", 6)
		together(t, 4, 6, first, second)
	})
}

// grow gives a topic more partitions.
func grow(b *bed.Bed, topic string, partitions int32) {
	b.T.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	more := kmsg.NewCreatePartitionsRequestTopic()
	more.Topic, more.Count = topic, partitions
	req.Topics = append(req.Topics, more)
	c, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.Dialer(b.Wires.DialContext))
	if err != nil {
		b.T.Fatal(err)
	}
	defer c.Close()
	if _, err := req.RequestWith(b.T.Context(), c); err != nil {
		b.T.Fatal(err)
	}
}

// TestCompanionOfOlder: while a member subscribes to the companion, as older
// versions of this library did, the companion belongs to that member alone, and
// moves when that member joins and when it leaves. Each record is read once.
func TestCompanionOfOlder(t *testing.T) {
	bothProtocols(t, 4, func(t *testing.T, b *bed.Bed) {
		if err := b.CreateTopic("again", 4, nil); err != nil {
			t.Fatal(err)
		}
		l := newLedger()
		newer := startReader(b, l, withCompanion)
		together(t, 4, 4, newer)
		p := startProducer(b, transport.ProducerConfig{})
		older := startReader(b, l, subscribing)
		older.await("the companion", func() bool { return older.ownedOf("again") == 4 })
		newer.await("the companion to be gone", func() bool { return newer.ownedOf("again") == 0 && newer.ownedOf("events") > 0 })
		for n := range int32(4) {
			publishAgain(b, p, n, "again")
			b.Delivered(b.Publish(p, n, "event"))
		}
		l.await(t, 8)
		older.close()
		together(t, 4, 4, newer)
		for n := range int32(4) {
			publishAgain(b, p, n, "again")
		}
		l.await(t, 12)
		time.Sleep(time.Minute)
		if n := l.records(); n != 12 {
			t.Errorf("%d records were read, want each of 12 once", n)
		}
	})
}

// TestCompanionBesideForeign: a member that uses another library knows no
// companions, and reads only its half of the topic. The status counts the records
// that stay unread in the companion.
func TestCompanionBesideForeign(t *testing.T) {
	bed.Bubble(t, 12, func(t *testing.T, b *bed.Bed) {
		if err := b.CreateTopic("again", 12, nil); err != nil {
			t.Fatal(err)
		}
		l, changes := newLedger(), make(chan struct{}, 1000)
		f := startForeign(b, l, kgo.CooperativeStickyBalancer(), changes)
		defer f.close()
		r := startReader(b, l, withCompanion)
		r.await("half of the topic", func() bool { return r.ownedOf("events") == 6 })
		p := startProducer(b, transport.ProducerConfig{})
		for n := range int32(12) {
			publishAgain(b, p, n, "again")
		}
		l.await(t, 6)
		var unread []transport.UnreadPartition
		for range 60 {
			if unread = r.Status().Unread; len(unread) == 6 {
				break
			}
			time.Sleep(time.Second) // the clock is the bubble's
		}
		if len(unread) != 6 {
			t.Fatalf("unread: %v", unread)
		}
		for _, u := range unread {
			r.mu.Lock()
			owns := r.owned[u.Partition] != nil
			r.mu.Unlock()
			if u.Topic != "again" || u.Records != 1 || owns || u.Member != "kgo" {
				t.Errorf("%+v", u)
			}
		}
		f.close()
		r.await("all", func() bool { return r.ownedOf("again") == 12 })
		l.await(t, 12)
		for len(r.Status().Unread) > 0 {
			time.Sleep(time.Second)
		}
	})
}

// TestCompanionCommitsStay: the coordinator deletes old offsets of topics to which
// nobody subscribes, so a member commits them again even if it has read nothing.
func TestCompanionCommitsStay(t *testing.T) {
	bothProtocols(t, 2, func(t *testing.T, b *bed.Bed) {
		if err := b.CreateTopic("again", 2, nil); err != nil {
			t.Fatal(err)
		}
		r := startPolled(b, &assigns{}, withCompanion)
		for len(r.Status().Partitions) < 4 {
			time.Sleep(time.Second)
		}
		var commits atomic.Int32
		b.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			for _, topic := range req.(*kmsg.OffsetCommitRequest).Topics {
				if topic.Topic != "again" || len(topic.Partitions) != 2 {
					t.Errorf("commits %+v", topic)
				}
				commits.Add(1)
			}
			return nil, nil, false
		})
		time.Sleep(2*commitAge + time.Minute)
		if n := commits.Load(); n != 2 {
			t.Errorf("%d commits in %s, want one each %s", n, 2*commitAge+time.Minute, commitAge)
		}
	})
}

// TestCompanionOfNothing: a companion must name a topic that the member subscribes to.
func TestCompanionOfNothing(t *testing.T) {
	for _, topics := range [][]transport.TopicStart{
		{{Topic: "events"}, {Topic: "again", CompanionOf: "event"}},
		{{Topic: "events"}, {Topic: "again", CompanionOf: "events"}, {Topic: "and again", CompanionOf: "again"}},
		{{Topic: "again", CompanionOf: "again"}},
	} {
		cfg := transport.ConsumerConfig{Group: "g", Listener: &assigns{}, Topics: topics}
		if err := validateConsumer(&cfg); err == nil || !strings.Contains(err.Error(), "is the companion of") {
			t.Errorf("%v: %v", topics, err)
		}
	}
}

// records returns how many records of all partitions were read.
func (l *ledger) records() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, values := range l.taken {
		n += len(values)
	}
	return n
}

// TestLooksAgainOnceBegun: once a companion's partition has begun, the member checks whether it
// should own it. A check before that covered only the partitions that it had.
func TestLooksAgainOnceBegun(t *testing.T) {
	for topic, want := range map[string]bool{"again": true, "events": false} {
		var work sync.WaitGroup
		log := slog.New(slog.DiscardHandler)
		m := &membership{
			ctx: t.Context(), log: log, news: make(chan struct{}, 1), types: newGroupTypes(nil),
			companions: newCompanions([]transport.TopicStart{{Topic: "events"}, {Topic: "again", CompanionOf: "events"}}),
			fetch:      fetch.NewFetcher(nil, log, "", 1<<20, true, &work),
			listener:   fetch.NewListener(&assigns{}),
		}
		m.assign(t.Context(), []transport.Assignment{{Partition: transport.Partition{Topic: topic}}}, nil)
		if got := m.takeCompanionsChanged(); got != want {
			t.Errorf("after a partition of %q has begun the member checks again: %v, want %v", topic, got, want)
		}
	}
}

// TestBegunMeanwhile: a companion's partition that begins while the member looks for missing ones
// is begun only once.
func TestBegunMeanwhile(t *testing.T) {
	p := transport.Partition{Topic: "again"}
	for range 10_000 {
		var work sync.WaitGroup
		m := &membership{
			unbegun:    map[transport.Partition]error{p: nil},
			companions: newCompanions([]transport.TopicStart{{Topic: "events"}, {Topic: "again", CompanionOf: "events"}}),
			fetch:      fetch.NewFetcher(nil, nil, "", 1<<20, true, &work),
		}
		work.Go(func() {
			m.fetch.Add([]transport.Assignment{{Partition: p}})
			m.mu.Lock()
			defer m.mu.Unlock()
			m.begunLocked([]transport.Partition{p})
		})
		added, _ := m.missing([]transport.Partition{p})
		work.Wait()
		if len(added) > 0 {
			t.Fatalf("%v is begun twice", added)
		}
	}
}
