package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// ends commits offset n of partition 0 within the transaction.
func ends(x *Transactor, topic string, n int64) error {
	return x.SendOffsets(context.Background(), "tool", transport.Commit{
		Partition: transport.Partition{Topic: topic}, Offset: n, LeaderEpoch: -1, Metadata: fmt.Sprint("after ", n),
	})
}

// writes produces values to partition 0.
func writes(x *Transactor, topic string, values ...string) error {
	records := make([]transport.Record, len(values))
	for i, v := range values {
		records[i] = transport.Record{Topic: topic, Value: []byte(v)}
	}
	return x.Produce(context.Background(), records...)
}

func transactor(t *testing.T, tr *Transport, id string) *Transactor {
	t.Helper()
	x, err := NewTransactor(context.Background(), tr, id, TransactorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// committed reads what readers of committed records see of partition 0, up to
// the record "end", which it writes.
func committed(t *testing.T, tr *Transport, topic string) (values []string) {
	t.Helper()
	x := transactor(t, tr, "end of "+topic)
	if err := errors.Join(writes(x, topic, "end"), x.Commit(context.Background())); err != nil {
		t.Fatal(err)
	}
	r, err := tr.NewReader(transport.ReaderConfig{From: map[transport.Partition]int64{{Topic: topic}: 0}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close(context.Background()) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		batches, err := r.Poll(ctx)
		if err != nil {
			t.Fatalf("after %q: %v", values, err)
		}
		for _, b := range batches {
			for i := range b.Records {
				if v := string(b.Records[i].Value); v != "end" {
					values = append(values, v)
				} else {
					return values
				}
			}
		}
	}
}

// stored is the offset that the group has committed, with its metadata.
func stored(t *testing.T, tr *Transport, topic string) string {
	t.Helper()
	commits, err := tr.Admin().Committed(context.Background(), "tool", topic)
	if err != nil {
		t.Fatal(err)
	}
	c := commits[transport.Partition{Topic: topic}]
	return fmt.Sprintf("%d %s", c.Offset, c.Metadata)
}

// TestTransaction holds transactions to what they promise: on the in-process
// broker, and on the brokers that EVENTBUS_TEST_BROKERS names.
func TestTransaction(t *testing.T) {
	t.Run("Broker", func(t *testing.T) { transactions(t, transportOf(bed.NewBed(t, 1))) })
	t.Run("Kafka", func(t *testing.T) {
		brokers := os.Getenv("EVENTBUS_TEST_BROKERS")
		if brokers == "" {
			t.Skip("EVENTBUS_TEST_BROKERS names no brokers; make test-kafka starts one")
		}
		tr := New(Config{Brokers: strings.Split(brokers, ",")})
		t.Cleanup(func() { _ = tr.Close(context.Background()) })
		transactions(t, tr)
	})
}

func transactions(t *testing.T, tr *Transport) {
	ctx := t.Context()
	topic := fmt.Sprint("transactions-", time.Now().UnixNano())
	spec := transport.TopicSpec{Name: topic, Partitions: 2, Configs: map[string]string{"max.message.bytes": "2000"}}
	if err := tr.Admin().CreateTopics(ctx, spec); err != nil {
		t.Fatal(err)
	}
	x := transactor(t, tr, topic)
	if err := x.Commit(ctx); err != nil {
		t.Errorf("committing nothing: %v", err)
	}
	if err := errors.Join(writes(x, topic, "a", "b"), ends(x, topic, 2), writes(x, topic, "c"), x.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writes(x, topic, "no"), ends(x, topic, 3), x.Abort(ctx)); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, tr, topic); got != "2 after 2" {
		t.Errorf("after an abort the group has committed %q", got)
	}

	// Left open: it ends when the next one is made, and its owner is fenced.
	if err := errors.Join(writes(x, topic, "lost"), ends(x, topic, 4)); err != nil {
		t.Fatal(err)
	}
	y := transactor(t, tr, topic)
	if err := x.Commit(ctx); !errors.Is(err, transport.ErrFenced) {
		t.Errorf("a fenced commit: %v, want ErrFenced", err)
	}
	if err := writes(x, topic, "late"); !errors.Is(err, transport.ErrFenced) {
		t.Errorf("after an error: %v, want the same again", err)
	}
	// More than one batch may hold: in several, in order.
	long := make([]string, 7)
	for i := range long {
		long[i] = fmt.Sprint(i, strings.Repeat("-", 700))
	}
	if err := errors.Join(writes(y, topic, long...), ends(y, topic, 9), y.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := writes(y, topic, strings.Repeat("x", 3000)); !errors.Is(err, transport.ErrTooLarge) {
		t.Errorf("a record that is too large: %v, want ErrTooLarge", err)
	}
	if err := y.Abort(ctx); err != nil {
		t.Error(err)
	}
	if err := writes(transactor(t, tr, topic), topic+"-missing", "x"); !errors.Is(err, transport.ErrTopicMissing) {
		t.Errorf("a topic that is missing: %v, want ErrTopicMissing", err)
	}
	if got, want := committed(t, tr, topic), append([]string{"a", "b", "c"}, long...); !slices.Equal(got, want) {
		t.Errorf("read %.20q, want %.20q", got, want)
	}
	if got := stored(t, tr, topic); got != "9 after 9" {
		t.Errorf("the group has committed %q", got)
	}
}

// TestTransactionCut loses one connection after another in the middle: each time
// the broker has acted, and its answer does not come.
func TestTransactionCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		ctx := context.Background()
		var want []string
		for lost := 0; ; lost++ {
			answers := 0
			x := transactor(t, transportOf(b), "cut")
			b.Wires.OnResponse(func([]byte) bool { answers++; return answers == lost })
			for i := range 2 {
				value := fmt.Sprint(lost, ".", i)
				want = append(want, value)
				n := int64(len(want))
				if err := errors.Join(writes(x, "events", value), ends(x, "events", n), x.Commit(ctx)); err != nil {
					t.Fatalf("without answer %d: %v", lost, err)
				}
			}
			b.Wires.OnResponse(nil)
			if answers < lost {
				break
			}
		}
		if len(want) < 20 {
			t.Errorf("only %d transactions were cut", len(want))
		}
		if got := committed(t, transportOf(b), "events"); !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
		if got := stored(t, transportOf(b), "events"); !strings.HasPrefix(got, fmt.Sprint(len(want), " ")) {
			t.Errorf("the group has committed %q, want %d", got, len(want))
		}
	})
}

// TestTransactionRefusals: what passes is waited out in every step.
func TestTransactionRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		var want []string
		for _, c := range []struct {
			key kmsg.Key
			err *franzerr.Error
		}{
			{kmsg.InitProducerID, franzerr.ConcurrentTransactions},
			{kmsg.InitProducerID, franzerr.CoordinatorLoadInProgress},
			{kmsg.AddPartitionsToTxn, franzerr.ConcurrentTransactions},
			{kmsg.AddPartitionsToTxn, franzerr.NotCoordinator},
			{kmsg.Produce, franzerr.NotLeaderForPartition},
			{kmsg.Produce, franzerr.RequestTimedOut}, // appended all the same
			{kmsg.AddOffsetsToTxn, franzerr.CoordinatorNotAvailable},
			{kmsg.TxnOffsetCommit, franzerr.NotCoordinator},
			{kmsg.EndTxn, franzerr.CoordinatorLoadInProgress},
		} {
			fault := b.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: 2})
			x := transactor(t, transportOf(b), "refused")
			want = append(want, c.key.Name())
			if err := errors.Join(writes(x, "events", c.key.Name()), ends(x, "events", 1), x.Commit(context.Background())); err != nil {
				t.Errorf("%s answered %s: %v", c.key.Name(), c.err.Message, err)
			}
			if fault.Hits() != 2 {
				t.Errorf("%s was answered %s %d times, want 2", c.key.Name(), c.err.Message, fault.Hits())
			}
			fault.Remove()
		}
		if got := committed(t, transportOf(b), "events"); !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
	})
}

// TestTransactionLeftOut: what a coordinator's answer leaves out is not taken for done: the
// transaction fails, and nothing of it is seen.
func TestTransactionLeftOut(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.AddPartitionsToTxn, kmsg.TxnOffsetCommit} {
		synctest.Test(t, func(t *testing.T) {
			b := bed.NewBubble(t, 1)
			b.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
				return req.ResponseKind(), nil, true // says nothing of what was asked
			})
			wrote := false
			b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				wrote = true
				return nil, nil, false
			})
			x := transactor(t, transportOf(b), "left out")
			err := errors.Join(writes(x, "events", "no"), ends(x, "events", 1), x.Commit(context.Background()))
			if err == nil || !strings.Contains(err.Error(), "events/0") {
				t.Errorf("%s: %v, want an error that names the partition", key.Name(), err)
			}
			// Older brokers take a batch of a partition that is in no transaction, which never ends.
			if key == kmsg.AddPartitionsToTxn && wrote {
				t.Error("a partition was written to that is not known to be in the transaction")
			}
			if err := x.Abort(context.Background()); err != nil {
				t.Error(err)
			}
			if got := committed(t, transportOf(b), "events"); len(got) != 0 {
				t.Errorf("read %q", got)
			}
			if got := stored(t, transportOf(b), "events"); got != "0 " {
				t.Errorf("the group has committed %q", got)
			}
		})
	}
}

// TestTransactionWritesTogether: one request writes to all partitions of a broker, since
// the broker asks the coordinator once for each request. Where one of them is not written,
// that one alone is repeated.
func TestTransactionWritesTogether(t *testing.T) {
	const partitions, brokers = 12, 3
	b := bed.NewBed(t, partitions)
	var asked []int // partitions of each request
	b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		n := 0
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			n += len(topic.Partitions)
		}
		asked = append(asked, n)
		return nil, nil, false
	})
	x := transactor(t, transportOf(b), "together")
	var records []transport.Record
	for i := range 3 * partitions {
		records = append(records, transport.Record{Topic: "events", Partition: int32(i % partitions), Value: fmt.Append(nil, i)})
	}
	if err := errors.Join(x.Produce(t.Context(), records...), x.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	sum := func() (n int) {
		for _, each := range asked {
			n += each
		}
		return n
	}
	if len(asked) > brokers || sum() != partitions {
		t.Errorf("requests of %v partitions, want one to each broker", asked)
	}
	fault := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "events", Partitions: []int32{2}, Err: franzerr.NotLeaderForPartition, Count: 1})
	defer fault.Remove()
	asked = nil
	if err := errors.Join(x.Produce(t.Context(), records...), x.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	if len(asked) > brokers+1 || sum() != partitions+1 || asked[len(asked)-1] != 1 {
		t.Errorf("requests of %v partitions, want all and then the one that was not written", asked)
	}
	for p := range int32(partitions) {
		var want []string
		for range 2 {
			for i := range 3 {
				want = append(want, fmt.Sprint(int(p)+i*partitions))
			}
			want = append(want, string(make([]byte, 6))) // the marker
		}
		if got := b.Log(p); !slices.Equal(got, want) {
			t.Errorf("partition %d holds %q, want %q", p, got, want)
		}
	}
}

// TestTransactionRequestBytes: large batches are not all written by one request, which a
// broker would hang up on.
func TestTransactionRequestBytes(t *testing.T) {
	const partitions, size, batch = 6, 5 << 20, 10 << 20
	b := bed.NewBed(t, 1, kfake.NumBrokers(1))
	tr := transportOf(b)
	spec := transport.TopicSpec{Name: "large", Partitions: partitions, Configs: map[string]string{"max.message.bytes": fmt.Sprint(batch)}}
	if err := tr.Admin().CreateTopics(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	var largest int
	b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		n := 0
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, part := range topic.Partitions {
				n += len(part.Records)
			}
		}
		largest = max(largest, n)
		return nil, nil, false
	})
	x, err := NewTransactor(t.Context(), tr, "large", TransactorConfig{BatchBytes: batch})
	if err != nil {
		t.Fatal(err)
	}
	var records []transport.Record
	for i := range partitions {
		records = append(records, transport.Record{Topic: "large", Partition: int32(i), Value: make([]byte, size)})
	}
	if err := errors.Join(x.Produce(t.Context(), records...), x.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	if largest >= bytesAtOnce+batch {
		t.Errorf("a request of %d bytes, want fewer than %d", largest, bytesAtOnce+batch)
	}
}

// TestKeepOffsets: the brokers are told to keep them, in the last version of the
// request that can say so.
func TestKeepOffsets(t *testing.T) {
	b := bed.NewBed(t, 1)
	var version int16
	var retention int64
	b.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		version, retention = req.GetVersion(), req.(*kmsg.OffsetCommitRequest).RetentionTimeMillis
		return nil, nil, false
	})
	p := transport.Partition{Topic: "events"}
	if err := NewAdmin(transportOf(b)).KeepOffsets(t.Context(), "tool", transport.Commit{Partition: p, Offset: 5, LeaderEpoch: 3, Metadata: "kept"}); err != nil {
		t.Fatal(err)
	}
	if version != 4 || retention != keptFor.Milliseconds() {
		t.Errorf("version %d, kept for %d ms", version, retention)
	}
	if got := stored(t, transportOf(b), "events"); got != "5 kept" {
		t.Errorf("the group has committed %q", got)
	}
}
