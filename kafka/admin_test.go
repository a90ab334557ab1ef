package kafka

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

func TestCreateTopics(t *testing.T) {
	b := bed.NewBed(t, 1, kfake.NumBrokers(3))
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: franzerr.NotController})
	a := transportOf(b).Admin()
	spec := transport.TopicSpec{Name: "new", Partitions: 4, Replication: 2, Configs: map[string]string{"retention.ms": "1000", "cleanup.policy": "compact"}}
	for _, what := range []string{"new", "existing"} {
		if err := a.CreateTopics(t.Context(), spec, transport.TopicSpec{Name: "default"}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		spec.Partitions = 9 // an existing topic stays as it is
	}
	infos, err := a.Topics(t.Context(), "new", "nowhere", "events")
	if err != nil || len(infos) != 3 {
		t.Fatalf("%+v, %v", infos, err)
	}
	got := infos[0]
	if got.Name != "new" || got.Partitions != 4 || got.Replication != 2 || got.ID == (transport.TopicID{}) || got.Err != nil ||
		got.Configs["retention.ms"] != "1000" || got.Configs["cleanup.policy"] != "compact" || got.Configs["max.message.bytes"] == "" {
		t.Errorf("%+v", got)
	}
	if infos[1].Name != "nowhere" || !errors.Is(infos[1].Err, transport.ErrTopicMissing) {
		t.Errorf("%+v, want it missing", infos[1])
	}
	all, err := a.Topics(t.Context())
	names := []string{}
	for _, info := range all {
		names = append(names, info.Name)
	}
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"default", "events", "new"}) {
		t.Errorf("%q, %v", names, err)
	}
}

// recordsOf returns how many records a request has the controller write.
func recordsOf(req kmsg.Request) (n int) {
	for _, t := range req.(*kmsg.CreateTopicsRequest).Topics {
		n += 1 + int(t.NumPartitions) + len(t.Configs)
	}
	return n
}

// TestCreateManyTopicsLate: a broker that learns late of new topics has them created once
// more, again in parts.
func TestCreateManyTopicsLate(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		var creates, looks atomic.Int64
		b.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			creates.Add(1)
			if n := recordsOf(req); n > createRecords {
				t.Errorf("%d records by one request", n)
			}
			return nil, nil, false
		})
		b.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			asked := req.(*kmsg.MetadataRequest)
			if len(asked.Topics) < 2 || looks.Add(1) > 60 {
				return nil, nil, false
			}
			resp := asked.ResponseKind().(*kmsg.MetadataResponse)
			broker := kmsg.NewMetadataResponseBroker()
			host, port, _ := net.SplitHostPort(b.ListenAddrs()[0])
			number, _ := strconv.Atoi(port)
			broker.Host, broker.Port = host, int32(number)
			resp.Brokers = append(resp.Brokers, broker)
			for i := range asked.Topics {
				topic := kmsg.NewMetadataResponseTopic()
				topic.Topic, topic.ErrorCode = asked.Topics[i].Topic, franzerr.UnknownTopicOrPartition.Code
				resp.Topics = append(resp.Topics, topic)
			}
			return resp, nil, true
		})
		var specs []transport.TopicSpec
		for n := range 12 {
			specs = append(specs, transport.TopicSpec{Name: fmt.Sprint("many-", n), Partitions: 600, Configs: map[string]string{"cleanup.policy": "delete"}})
		}
		if err := transportOf(b).Admin().CreateTopics(t.Context(), specs...); err != nil {
			t.Fatal(err)
		}
		if n := creates.Load(); n != 4 {
			t.Errorf("%d requests to create, want 2, and 2 again", n)
		}
	})
}

// TestCreateManyTopics creates more partitions than a controller takes in one request, and
// waits for the leaders of all topics at once.
func TestCreateManyTopics(t *testing.T) {
	b := bed.NewBed(t, 1)
	var mu sync.Mutex
	var creates, asked int
	b.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		creates++
		if n := recordsOf(req); n > createRecords {
			t.Errorf("%d records by one request", n)
		}
		return nil, nil, false
	})
	b.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if len(req.(*kmsg.MetadataRequest).Topics) > 0 {
			asked++
		}
		return nil, nil, false
	})
	var specs []transport.TopicSpec
	for n := range 12 {
		specs = append(specs, transport.TopicSpec{Name: fmt.Sprint("many-", n), Partitions: 1000})
	}
	a := transportOf(b).Admin()
	if err := a.CreateTopics(t.Context(), specs...); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if creates != 3 || asked != 1 {
		t.Errorf("%d requests to create and %d for leaders, want 3 and 1", creates, asked)
	}
	mu.Unlock()
	infos, err := a.Topics(t.Context(), topicNames(specs)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		if info.Partitions != 1000 {
			t.Errorf("%s has %d partitions: %v", info.Name, info.Partitions, info.Err)
		}
	}
}

func TestCreateTopicsRefused(t *testing.T) {
	b := bed.NewBed(t, 1)
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Topic: "bad", Err: franzerr.PolicyViolation})
	a := transportOf(b).Admin()
	err := a.CreateTopics(t.Context(), transport.TopicSpec{Name: "good", Partitions: 1}, transport.TopicSpec{Name: "bad", Partitions: 1})
	for _, says := range []string{`creating topic "bad"`, "POLICY_VIOLATION"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %s", err, says)
		}
	}
	if err != nil && strings.Contains(err.Error(), `"good"`) {
		t.Errorf("%v speaks of the topic that was created", err)
	}
	if infos, err := a.Topics(t.Context(), "good"); err != nil || infos[0].Err != nil {
		t.Errorf("the good topic: %+v, %v", infos, err)
	}
}

func TestOffsets(t *testing.T) {
	b := bed.NewBed(t, 2, kfake.NumBrokers(3))
	p := startProducer(b, transport.ProducerConfig{})
	base := time.UnixMilli(1_700_000_000_000)
	for i := range 5 {
		done := make(bed.Receipt, 1)
		r := &transport.Record{Topic: "events", Partition: 1, Time: base.Add(time.Duration(i) * time.Second)}
		if err := p.Produce(t.Context(), r, done); err != nil {
			t.Fatal(err)
		}
		b.Delivered(done)
	}
	if err := b.DeleteRecords("events", 1, 1); err != nil {
		t.Fatal(err)
	}
	a := transportOf(b).Admin()
	p0, p1 := transport.Partition{Topic: "events", Partition: 0}, transport.Partition{Topic: "events", Partition: 1}
	for _, test := range []struct {
		at   transport.Start
		want map[transport.Partition]int64
	}{
		{transport.Earliest(), map[transport.Partition]int64{p0: 0, p1: 1}},
		{transport.Latest(), map[transport.Partition]int64{p0: 0, p1: 5}},
		{transport.At(base.Add(2 * time.Second)), map[transport.Partition]int64{p0: 0, p1: 2}},
		{transport.At(base.Add(2*time.Second + time.Nanosecond)), map[transport.Partition]int64{p0: 0, p1: 3}},
		{transport.At(base.Add(time.Hour)), map[transport.Partition]int64{p0: 0, p1: 5}},
	} {
		// The leader moves, so that the first attempt goes to the wrong broker.
		if err := b.MoveTopicPartition("events", 1, (b.LeaderFor("events", 1)+1)%3); err != nil {
			t.Fatal(err)
		}
		got, err := a.Offsets(t.Context(), test.at, p0, p1)
		if err != nil || !maps.Equal(got, test.want) {
			t.Errorf("at %v: %v, %v, want %v", test.at, got, err, test.want)
		}
	}
	for _, missing := range []transport.Partition{{Topic: "nowhere"}, {Topic: "events", Partition: 9}} {
		if _, err := a.Offsets(t.Context(), transport.Latest(), p0, missing); !errors.Is(err, transport.ErrTopicMissing) {
			t.Errorf("%v: %v", missing, err)
		}
	}
}

func TestCommitted(t *testing.T) {
	for name, opts := range map[string][]kfake.Opt{"new": nil, "2.8": {kfake.MaxVersions(kversion.V2_8_0())}} {
		t.Run(name, func(t *testing.T) {
			b := bed.NewBed(t, 3, append(opts, kfake.NumBrokers(3))...)
			a := transportOf(b).Admin()
			if got, err := a.Committed(t.Context(), "nobody", "events"); err != nil || len(got) != 0 {
				t.Errorf("a group that doesn't exist: %v, %v", got, err)
			}
			req := kmsg.NewPtrOffsetCommitRequest()
			req.Group, req.Generation = "g", -1
			for _, name := range []string{"events", "other"} {
				topic := kmsg.NewOffsetCommitRequestTopic()
				topic.Topic = name
				part := kmsg.NewOffsetCommitRequestTopicPartition()
				part.Partition, part.Offset, part.LeaderEpoch, part.Metadata = 0, 42, 3, new("bits")
				topic.Partitions = append(topic.Partitions, part)
				req.Topics = append(req.Topics, topic)
			}
			if err := b.CreateTopic("other", 1, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := transportOf(b).client.Request(t.Context(), b.CoordinatorFor("g"), req); err != nil {
				t.Fatal(err)
			}
			// The coordinator moves, so that the second look goes to the wrong broker.
			for range 2 {
				got, err := a.Committed(t.Context(), "g", "events")
				p := transport.Partition{Topic: "events"}
				want := map[transport.Partition]transport.Commit{p: {Partition: p, Offset: 42, LeaderEpoch: 3, Metadata: "bits"}}
				if err != nil || !maps.Equal(got, want) {
					t.Errorf("%v, %v, want %v", got, err, want)
				}
				b.RehashCoordinators()
			}
			if got, err := a.Committed(t.Context(), "g"); err != nil || len(got) != 2 {
				t.Errorf("on all topics: %v, %v", got, err)
			}
		})
	}
}
