package redrive_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

// pile is a dead-letter topic with letters of three causes in turn. Nobody handles them when
// they come back.
type pile struct {
	brokers []string
	topic   string
	cluster *kafka.Transport
	letters int
}

const partitions, customers = 3, 40

var causes = []string{"dial tcp 10.0.0.%d:443: refused", "customer %d has no address", "deadlock on row %d"}

// heap makes a pile.
func heap(t *testing.T, c *kafkatest.Cluster, letters int) *pile {
	t.Helper()
	p := &pile{brokers: c.Brokers(), topic: orders.In(c.Environment()) + ".shipping.dlq", letters: letters}
	p.cluster = p.connect(t)
	spec := transport.TopicSpec{Partitions: partitions, Replication: 1}
	dead, retry := spec, spec
	dead.Name, retry.Name = p.topic, naming.RetryOf(p.topic)
	if err := p.cluster.Admin().CreateTopics(t.Context(), dead, retry); err != nil {
		t.Fatal(err)
	}
	p.fill(t, letters)
	return p
}

// fill writes letters.
func (p *pile) fill(t *testing.T, letters int) {
	t.Helper()
	now := time.Now().UTC().Format(time.RFC3339Nano)
	var records []transport.Record
	for i := range letters {
		key := i % customers
		record := transport.Record{Topic: p.topic, Partition: int32(key % partitions), Key: fmt.Append(nil, "c-", key), Value: fmt.Appendf(nil, `{"seq":%d}`, i)}
		for _, h := range [][2]string{
			{"ce_specversion", "1.0"}, {"ce_type", "order"}, {"ce_source", "urn:shop"}, {"ce_id", fmt.Sprint("e-", i)},
			{letter.Topic, "orders"}, {letter.Partition, "0"}, {letter.Offset, strconv.Itoa(i)}, {letter.Group, "shipping"},
			{letter.Reason, "exhausted"}, {letter.Error, fmt.Sprintf(causes[i%len(causes)], i)}, {letter.LastFailure, now},
		} {
			record.Headers = append(record.Headers, transport.Header{Key: h[0], Value: []byte(h[1])})
		}
		records = append(records, record)
	}
	p.produce(t, records...)
}

// remove deletes the dead-letter topic.
func (p *pile) remove(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", p.brokers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	order := binary.BigEndian
	req := order.AppendUint64(nil, 20<<48|3<<32|1) // DeleteTopics, version 3, and an id
	req = order.AppendUint16(req, 0)               // without a client id
	req = order.AppendUint16(order.AppendUint32(req, 1), uint16(len(p.topic)))
	req = order.AppendUint32(append(req, p.topic...), 10_000) // milliseconds
	if _, err := conn.Write(append(order.AppendUint32(nil, uint32(len(req))), req...)); err != nil {
		t.Fatal(err)
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(conn, size); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, order.Uint32(size))
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	// The answer ends in the error of the only topic.
	if code := order.Uint16(answer[len(answer)-2:]); code != 0 {
		t.Fatalf("error %d", code)
	}
}

// recreate deletes the dead-letter topic and creates it with other letters.
func (p *pile) recreate(t *testing.T, letters int) {
	t.Helper()
	p.remove(t)
	if err := p.cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: p.topic, Partitions: partitions, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	p.fill(t, letters)
}

// outcome receives the outcomes of produce.
type outcome chan error

func (o outcome) Done(_ transport.Position, err error) { o <- err }

// produce writes records unchanged.
func (p *pile) produce(t *testing.T, records ...transport.Record) {
	t.Helper()
	producer, err := p.cluster.NewProducer(transport.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close(t.Context())
	o := make(outcome, len(records))
	for i := range records {
		if err := producer.Produce(t.Context(), &records[i], o); err != nil {
			t.Fatal(err)
		}
	}
	for range records {
		if err := <-o; err != nil {
			t.Fatal(err)
		}
	}
}

func (p *pile) connect(t *testing.T) *kafka.Transport {
	t.Helper()
	cluster := kafka.New(kafka.Config{Brokers: p.brokers})
	t.Cleanup(func() { _ = cluster.Close(context.Background()) })
	return cluster
}

func (p *pile) client(who string) *redrive.Client {
	return redrive.New(p.cluster, redrive.Config{Who: who, Create: true})
}

// cause returns the fingerprint of a cause.
func (p *pile) cause(t *testing.T, of int) string {
	t.Helper()
	box, err := p.client("x").Open(t.Context(), p.topic)
	if err != nil {
		t.Fatal(err)
	}
	all, err := box.Causes(t.Context(), redrive.Filter{}, 0)
	if err != nil || len(all.List) != len(causes) || all.Letters != int64(p.letters) {
		t.Fatalf("%+v, %v; want three causes", all, err)
	}
	for _, c := range all.List {
		if word := strings.Fields(causes[of])[0]; strings.HasPrefix(c.Gist, word) {
			if c.Letters < int64(p.letters/3) || c.Keys != customers || c.Type != "order" || c.Reason != "exhausted" || c.First.IsZero() {
				t.Errorf("%+v", c)
			}
			return c.Fingerprint
		}
	}
	t.Fatalf("%+v has no cause %d", all, of)
	return ""
}

func (p *pile) order(t *testing.T, of int) redrive.Order {
	return redrive.Order{Topic: p.topic, Who: "ann@desk", Why: "it is mended", Filter: redrive.Filter{Fingerprints: []string{p.cause(t, of)}}}
}

// back reads what came back, and requires that it is each letter of those causes, once, in
// order per key, and that all other letters are unchanged.
func (p *pile) back(t *testing.T, of ...int) {
	t.Helper()
	var came map[string][]int
	// The records of a transaction can be read some milliseconds after its commit.
	for began, n := time.Now(), -1; n < p.of(of...) && time.Since(began) < 10*time.Second; {
		came, n = make(map[string][]int), 0
		p.read(t, func(key string, seq int) { came[key], n = append(came[key], seq), n+1 })
	}
	want := make(map[string][]int)
	for i := range p.letters {
		if slices.Contains(of, i%len(causes)) {
			key := fmt.Sprint("c-", i%customers)
			want[key] = append(want[key], i)
		}
	}
	for key := range customers {
		key := fmt.Sprint("c-", key)
		got := came[key]
		// Several jobs follow one another, so only each cause by itself is in order.
		for _, cause := range of {
			only := func(seqs []int) []int {
				return slices.DeleteFunc(slices.Clone(seqs), func(i int) bool { return i%len(causes) != cause })
			}
			if !slices.Equal(only(got), only(want[key])) {
				t.Errorf("key %s, cause %d: %d came back, want %d, each once and in order", key, cause, len(only(got)), len(only(want[key])))
			}
		}
		if len(got) != len(want[key]) {
			t.Errorf("key %s: %d came back, want %d", key, len(got), len(want[key]))
		}
	}
	box, err := p.client("x").Open(t.Context(), p.topic)
	if err != nil {
		t.Fatal(err)
	}
	if n, want := box.Count(redrive.Open), int64(p.letters-p.of(of...)); n != want {
		t.Errorf("%d letters are open, want %d", n, want)
	}
	err = box.Each(t.Context(), box.Undecided(), func(l *letter.Letter, s redrive.State, _ error) error {
		if i, _ := strconv.Atoi(strings.TrimPrefix(redrive.ID(l), "e-")); (s == redrive.Replayed) != slices.Contains(of, i%len(causes)) {
			return fmt.Errorf("letter %d is %v", i, s)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// of returns how many letters have one of those causes.
func (p *pile) of(causesOf ...int) (n int) {
	for i := range p.letters {
		if slices.Contains(causesOf, i%len(causes)) {
			n++
		}
	}
	return n
}

// read calls see with the committed records of the retry topic.
func (p *pile) read(t *testing.T, see func(key string, seq int)) {
	t.Helper()
	from := make(map[transport.Partition]int64)
	for i := range int32(partitions) {
		from[transport.Partition{Topic: naming.RetryOf(p.topic), Partition: i}] = 0
	}
	end, err := p.cluster.Admin().Offsets(t.Context(), transport.Latest(), slices.Collect(func(yield func(transport.Partition) bool) {
		for p := range from {
			if !yield(p) {
				return
			}
		}
	})...)
	if err == nil {
		err = scan.Each(t.Context(), p.cluster, from, end, func(r *transport.Record) error {
			var seq int
			_, err := fmt.Sscanf(string(r.Value), `{"seq":%d}`, &seq)
			see(string(r.Key), seq)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// onBrokers runs a test on the in-process broker, and on the brokers that
// EVENTBUS_TEST_BROKERS names.
func onBrokers(t *testing.T, body func(*testing.T, *kafkatest.Cluster)) {
	t.Run("Broker", func(t *testing.T) { body(t, kafkatest.NewBroker(t)) })
	t.Run("Kafka", func(t *testing.T) { body(t, kafkatest.Open(t)) })
}

// next returns the order about another cause, with its count of open letters.
func (p *pile) next(t *testing.T, o redrive.Order, of int) redrive.Order {
	t.Helper()
	box, err := p.client("x").Open(t.Context(), p.topic)
	if err != nil {
		t.Fatal(err)
	}
	all, err := box.Causes(t.Context(), redrive.Filter{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.List {
		if strings.HasPrefix(c.Gist, strings.Fields(causes[of])[0]) {
			o.Filter.Fingerprints = []string{c.Fingerprint}
		}
	}
	return o
}
