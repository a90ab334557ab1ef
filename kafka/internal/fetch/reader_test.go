package fetch

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// startLogReader starts a reader of partition 0 of "events" that knows nothing of the
// cluster yet.
func startLogReader(b *bed.Bed, cfg transport.ReaderConfig) transport.Reader {
	b.T.Helper()
	c := cluster.NewClient(bedclient.Options(b.ListenAddrs(), b.Wires.DialContext))
	cfg.From = map[transport.Partition]int64{{Topic: "events"}: 0}
	r, err := NewReader(c, cfg, "")
	if err != nil {
		b.T.Fatal(err)
	}
	b.T.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			b.T.Errorf("Close: %v", err)
		}
		c.Close()
	})
	return r
}

// pollOne polls the next batch, of one partition.
func pollOne(t *testing.T, r transport.Reader) (records int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	batches, err := r.Poll(ctx)
	for _, b := range batches {
		records += len(b.Records)
		if b.Release != nil {
			b.Release()
		}
	}
	return records, err
}

// TestReaderMissing: a reader believes that a topic is missing after three such answers in a
// row.
func TestReaderMissing(t *testing.T) {
	const missing, electing = kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable
	for _, c := range []struct {
		name    string
		answers []kerr.Error // to the first requests for the topic's metadata
		want    error
	}{
		{"three times", []kerr.Error{missing, missing, missing}, transport.ErrTopicMissing},
		{"after other trouble", []kerr.Error{electing, electing, missing, missing}, nil},
		{"between other trouble", []kerr.Error{missing, missing, electing, missing, missing}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
				b.Delivered(b.Publish(startProducer(b, transport.ProducerConfig{}), 0, "record"))
				answers := c.answers
				b.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
					b.KeepControl()
					asked := req.(*kmsg.MetadataRequest)
					if len(asked.Topics) == 0 || len(answers) == 0 {
						return nil, nil, false
					}
					resp := asked.ResponseKind().(*kmsg.MetadataResponse)
					topic := kmsg.NewMetadataResponseTopic()
					topic.Topic, topic.ErrorCode = asked.Topics[0].Topic, int16(answers[0])
					resp.Topics = append(resp.Topics, topic)
					host, port, _ := net.SplitHostPort(b.ListenAddrs()[0])
					number, _ := strconv.Atoi(port)
					resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{Host: host, Port: int32(number)})
					answers = answers[1:]
					return resp, nil, true
				})
				r := startLogReader(b, transport.ReaderConfig{})
				if records, err := pollOne(t, r); !errors.Is(err, c.want) || (records == 1) != (c.want == nil) {
					t.Errorf("%d records, error %v", records, err)
				}
			})
		})
	}
}

// TestReaderTruncated: a reader ends with an error if the log has lost records that it should
// read, and otherwise goes on.
func TestReaderTruncated(t *testing.T) {
	const written, silent = 10, -1
	for _, c := range []struct {
		name             string
		to               int64
		stays            bool  // the leader stays, and says that the position is out of range
		epochEnd, logEnd int64 // as the leader reports them; silent means the true ones
		want             string
	}{
		{name: "clean election", to: written, epochEnd: silent, logEnd: silent, want: io.EOF.Error()},
		{name: "position in the log", to: written, epochEnd: 8, logEnd: 8, want: "events/0 ends at offset 8 and was to be read up to 10"},
		{name: "position gone", to: written, epochEnd: 1, logEnd: 1, want: "events/0 ends at offset 1 and was to be read up to 10"},
		{name: "out of range", to: written, stays: true, epochEnd: 1, logEnd: 1, want: "events/0 ends at offset 1 and was to be read up to 10"},
		{name: "written again", to: written, epochEnd: 8, logEnd: 12, want: io.EOF.Error()},
		{name: "not written yet", to: 20, epochEnd: silent, logEnd: silent, want: context.DeadlineExceeded.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
				p := startProducer(b, transport.ProducerConfig{})
				for range written {
					b.Delivered(b.Publish(p, 0, strings.Repeat("x", 1000)))
				}
				// Small enough that the next record is fetched only after one is polled.
				r := startLogReader(b, transport.ReaderConfig{FetchBytes: 2000, To: map[transport.Partition]int64{{Topic: "events"}: c.to}})
				records, err := pollOne(t, r)
				if records != 1 || err != nil {
					t.Fatalf("%d records, error %v", records, err)
				}
				truncate(b, c.epochEnd, c.logEnd, c.stays)
				if !c.stays {
					if err := b.MoveTopicPartition("events", 0, (b.LeaderFor("events", 0)+1)%3); err != nil {
						t.Fatal(err)
					}
				}
				for err == nil {
					var more int
					more, err = pollOne(t, r)
					records += more
				}
				if !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrTruncated) == (records == written) {
					t.Errorf("%d records, error %v", records, err)
				}
			}, bed.ThreeBrokers()...)
		})
	}
}

// truncate makes leaders report where the log ends, unless that is negative, and refuse to read
// it if outOfRange is set.
func truncate(b *bed.Bed, epochEnd, logEnd int64, outOfRange bool) {
	b.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = "events"
		part := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		part.EndOffset = epochEnd
		topic.Partitions = append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, epochEnd >= 0
	})
	b.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = "events"
		part := kmsg.NewListOffsetsResponseTopicPartition()
		part.Offset = logEnd
		topic.Partitions = append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, logEnd >= 0 && req.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp == -1
	})
	b.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic = "events"
		part := kmsg.NewFetchResponseTopicPartition()
		part.ErrorCode = int16(kerr.OffsetOutOfRange)
		topic.Partitions = append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, outOfRange
	})
}
