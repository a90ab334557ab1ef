package transporttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// adminTests check what an Admin says about topics, and when the topics become usable.
var adminTests = []test{
	{"Describe", testAdminDescribe},
	{"Defaults", testAdminDefaults},
	{"Exists", testAdminExists},
	{"Several", testAdminSeveral},
	{"Refused", testAdminRefused},
	{"UsableAtOnce", testAdminUsableAtOnce},
	{"Offsets", testAdminOffsets},
	{"OffsetsMissing", testAdminOffsetsMissing},
	{"Committed", testAdminCommitted},
}

// testAdminDescribe: a topic is described as it was created, with its id, its own
// configs and the broker's defaults. Provisioning and the doctor compare these with
// declarations.
func testAdminDescribe(r *run) {
	// Neither config is a broker's default, so an answer that shows defaults alone fails.
	topic := r.topicWith(transport.TopicSpec{
		Partitions: 3,
		Configs:    map[string]string{"retention.ms": "3600000", "cleanup.policy": "compact"},
	})
	info := r.describe(topic)
	if info.Err != nil || info.Name != topic || info.Partitions != 3 || info.Replication < 1 {
		r.Errorf("described as %+v", info)
	}
	// Asked a second time, because an id that is made up for each answer would pass once. A
	// consumer tells a topic that was created again by the id alone.
	if info.ID == (transport.TopicID{}) || r.describe(topic).ID != info.ID {
		r.Errorf("the topic's id is %x, and then %x", info.ID, r.describe(topic).ID)
	}
	if info.Configs["retention.ms"] != "3600000" || info.Configs["cleanup.policy"] != "compact" {
		r.Errorf("configs %v lack what the topic was created with", info.Configs)
	}
	// Not set here, so it can only be the broker's. Without the defaults nobody could say
	// which limit a topic has.
	if info.Configs["max.message.bytes"] == "" {
		r.Errorf("configs %v lack the broker's default of max.message.bytes", info.Configs)
	}
}

// testAdminDefaults: zero partitions and zero replicas mean the broker's defaults,
// not none.
func testAdminDefaults(r *run) {
	if info := r.describe(r.topic(0)); info.Err != nil || info.Partitions < 1 || info.Replication < 1 {
		r.Errorf("described as %+v", info)
	}
}

// testAdminExists: a topic that is there stays as it is, without an error: several
// instances of a service provision at once.
func testAdminExists(r *run) {
	topic := r.topic(2)
	before := r.describe(topic)
	r.within("creating it again", func(ctx context.Context) error {
		return r.Admin().CreateTopics(ctx, transport.TopicSpec{Name: topic, Partitions: 5})
	})
	// The other number of partitions shows a transport that grows the topic, which would send
	// keys elsewhere; the id shows one that deletes it and creates another.
	if after := r.describe(topic); after.Partitions != 2 || after.ID != before.ID {
		r.Errorf("it was %+v, and is %+v", before, after)
	}
}

// testAdminSeveral: topics are described in the order asked, a missing one by its own error.
// Without names, all are described.
func testAdminSeveral(r *run) {
	a, b, missing := r.name("a"), r.name("b"), r.name("missing")
	r.within("creating two topics", func(ctx context.Context) error {
		return r.Admin().CreateTopics(ctx, transport.TopicSpec{Name: a, Partitions: 1}, transport.TopicSpec{Name: b, Partitions: 2})
	})
	r.within("Topics", func(ctx context.Context) error {
		// Neither the order of creation nor that of names, and the missing one lies between the
		// others: an answer sorted by the broker, or one that leaves it out, is noticed.
		infos, err := r.Admin().Topics(ctx, b, missing, a)
		if err != nil {
			return err
		}
		if len(infos) != 3 || infos[0].Name != b || infos[1].Name != missing || infos[2].Name != a {
			return fmt.Errorf("asked for %s, %s, %s, got %+v", b, missing, a, infos)
		}
		if infos[0].Err != nil || infos[2].Err != nil || !errors.Is(infos[1].Err, transport.ErrTopicMissing) {
			return fmt.Errorf("errors %v, %v, %v; want only the second, ErrTopicMissing", infos[0].Err, infos[1].Err, infos[2].Err)
		}
		return nil
	})
	r.within("Topics without names", func(ctx context.Context) error {
		// The cluster may be shared, so other topics are not an error; these two must be among
		// them.
		infos, err := r.Admin().Topics(ctx)
		for _, name := range []string{a, b} {
			if !slices.ContainsFunc(infos, func(i transport.TopicInfo) bool { return i.Name == name }) {
				return fmt.Errorf("%s is not among %d topics: %w", name, len(infos), err)
			}
		}
		return err
	})
}

// testAdminRefused: names that Kafka does not accept are refused. The rules are those of
// org.apache.kafka.common.internals.Topic: 1 to 249 letters, digits, dots, underscores and
// hyphens, and neither "." nor "..".
func testAdminRefused(r *run) {
	ctx, cancel := r.patience()
	defer cancel()
	// The last is refused for its zero bytes and for its length. One context serves all names:
	// a refusal that waits for a topic to appear would use it up.
	for _, name := range []string{"", ".", "..", "a b", "a/b", "ä", string(make([]byte, 250))} {
		if err := r.Admin().CreateTopics(ctx, transport.TopicSpec{Name: name, Partitions: 1}); err == nil {
			r.Errorf("a topic named %q was created", name)
		}
	}
}

// testAdminUsableAtOnce: CreateTopics waits until producers can use the topic, including those
// that existed before it.
func testAdminUsableAtOnce(r *run) {
	p := r.producer(transport.ProducerConfig{})
	// The producer is older than the topics, and the partition is the last one: metadata that
	// is cached, or that knows the topic but not yet all leaders, fails here. Three times,
	// because a transport that merely waits a little passes now and then.
	for range 3 {
		r.produce(p, transport.Record{Topic: r.topic(3), Partition: 2, Value: []byte("v")})
	}
}

// testAdminOffsets: a start is resolved for each partition: the log's start, its end,
// or the first record at or after a time. A time behind every record is the end, so
// that a consumer that begins there misses nothing that is written later.
func testAdminOffsets(r *run) {
	topic := r.topic(2)
	p := r.producer(transport.ProducerConfig{})
	start := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	// The times lie an hour back and a minute apart. An admin that goes by the time of
	// appending answers 0 to each of them.
	for n := range 5 {
		r.produce(p, transport.Record{Topic: topic, Partition: 0, Value: []byte("v"), Time: start.Add(time.Duration(n) * time.Minute)})
	}
	for _, c := range []struct {
		at         transport.Start
		full, none int64
	}{
		{transport.Earliest(), 0, 0},
		{transport.Latest(), 5, 0},
		{transport.At(start.Add(-time.Hour)), 0, 0},
		// Exactly the time of a record: that record itself is wanted.
		{transport.At(start.Add(2 * time.Minute)), 2, 0},
		// Between two records the later one counts.
		{transport.At(start.Add(2*time.Minute + time.Second)), 3, 0},
		// Kafka answers −1 where no record is late enough, which must not be taken for an offset.
		{transport.At(start.Add(30 * time.Minute)), 5, 0},
	} {
		r.within("Offsets", func(ctx context.Context) error {
			// Both partitions in one call: each has an answer of its own, and the empty one too.
			got, err := r.Admin().Offsets(ctx, c.at, at(topic, 0), at(topic, 1))
			want := map[transport.Partition]int64{at(topic, 0): c.full, at(topic, 1): c.none}
			if err == nil && !maps.Equal(got, want) {
				r.Errorf("offsets at %v are %v, want %v", c.at, got, want)
			}
			return err
		})
	}
}

// testAdminOffsetsMissing: a partition that does not exist fails the call. An answer
// without it would look like one that has no records.
func testAdminOffsetsMissing(r *run) {
	ctx, cancel := r.patience()
	defer cancel()
	// A topic that is missing, and a partition beyond those that the topic has.
	for _, p := range []transport.Partition{at(r.name("missing"), 0), at(r.topic(1), 7)} {
		if got, err := r.Admin().Offsets(ctx, transport.Latest(), p); !errors.Is(err, transport.ErrTopicMissing) {
			r.Errorf("offset of %v: %v, %v, want ErrTopicMissing", p, got, err)
		}
	}
}

// testAdminCommitted: a group's commits are read with their metadata, for the given topics or for
// all. A partition without a commit is absent, and not at offset 0.
func testAdminCommitted(r *run) {
	topic, other, group := r.topic(2), r.topic(1), r.name("group")
	// Kafka answers −1 for each partition of a group without commits: those are not commits.
	if got := r.committed(group, topic); len(got) != 0 {
		r.Errorf("a group that never was has committed %v", got)
	}
	m := r.member(transport.ConsumerConfig{Group: group, Topics: []transport.TopicStart{{Topic: topic}, {Topic: other}}})
	m.awaitOwned(3)
	m.commit(at(topic, 1), 7, "seven")
	got := r.committed(group, topic)
	// The metadata is what was given, without notes that the transport stores behind it.
	if c := got[at(topic, 1)]; c.Offset != 7 || c.Metadata != "seven" || c.Partition != at(topic, 1) {
		r.Errorf("committed %+v", c)
	}
	if _, asked := got[at(other, 0)]; asked {
		r.Errorf("commits %v have a topic that was not asked for", got)
	}
	m.commit(at(other, 0), 3, "")
	if got := r.committed(group); got[at(other, 0)].Offset != 3 || got[at(topic, 1)].Offset != 7 {
		r.Errorf("committed %v on all topics", got)
	}
}
