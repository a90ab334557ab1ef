package redrive_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

// pile is a dead-letter topic with letters of three causes, one after the other,
// which nobody handles when they come back.
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
	dead.Name, retry.Name = p.topic, letter.RetryTopic(p.topic)
	if err := p.cluster.Admin().CreateTopics(t.Context(), dead, retry); err != nil {
		t.Fatal(err)
	}
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
	return p
}

// outcome receives the outcomes of produce.
type outcome chan error

func (o outcome) Done(_ transport.Position, err error) { o <- err }

// produce writes records as they are.
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

// cause returns the fingerprint of one of the causes.
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

// back reads what came back, and demands that it is each letter of those causes,
// once, in order per key, and that all others are as they were.
func (p *pile) back(t *testing.T, of ...int) {
	t.Helper()
	var came map[string][]int
	// A transaction is committed some milliseconds before its records can be read.
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
		// Several jobs follow each other, so each cause is in order by itself.
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

// read calls see with what is committed in the retry topic.
func (p *pile) read(t *testing.T, see func(key string, seq int)) {
	t.Helper()
	from := make(map[transport.Partition]int64)
	for i := range int32(partitions) {
		from[transport.Partition{Topic: letter.RetryTopic(p.topic), Partition: i}] = 0
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

// childVariable makes this program a process that runs a job until it is killed.
const childVariable = "EVENTBUS_TEST_REDRIVE_CHILD"

// child runs a job in the place of the tests, if this process was started for it.
func child() {
	order := strings.Fields(os.Getenv(childVariable)) // brokers, topic, fingerprint, rate
	if len(order) != 4 {
		return
	}
	rate, _ := strconv.ParseFloat(order[3], 64)
	client := redrive.New(kafka.New(kafka.Config{Brokers: strings.Split(order[0], ",")}), redrive.Config{Who: "child@desk", Create: true})
	client.SetEvents(50)
	_, err := client.Start(context.Background(), redrive.Order{
		Topic: order[1], Who: "child@desk", Rate: rate, Filter: redrive.Filter{Fingerprints: []string{order[2]}},
	}, redrive.Run{Progress: func(j redrive.Job) { fmt.Println(j.ID, j.Done.Replayed) }})
	fmt.Println("ended", err)
	os.Exit(3)
}

// TestJobSurvives: one of three causes over 10,000 letters is brought back, by a
// process that is killed, and by others whose connections break in the midst of
// random requests: each letter once, in order, and no other.
func TestJobSurvives(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 10_000)
		order := p.order(t, 1)
		id := p.killed(t, order.Filter.Fingerprints[0])
		var held *redrive.HeldError
		if _, err := p.client("ann@desk").Resume(t.Context(), p.topic, id, redrive.Run{}); !errors.As(err, &held) || held.Job.Holder.Who != "child@desk" {
			t.Errorf("right after the kill: %v; want that child@desk runs it", err)
		}
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 1))
		rounds := 0
		for ; ; rounds++ {
			j, err := p.cut(t, id, rng)
			if err == nil {
				if want := int64(p.of(1)); j.Done.Replayed != want || j.State != redrive.Done {
					t.Errorf("%+v; want %d replayed", j, want)
				}
				break
			}
		}
		t.Logf("resumed %d times", rounds+1)
		p.back(t, 1)
		if j, err := p.client("bob@desk").Start(t.Context(), p.next(t, order, 2), redrive.Run{}); err != nil || j.Done.Replayed != int64(p.of(2)) {
			t.Errorf("the next cause: %+v, %v", j.Done, err)
		}
		p.back(t, 1, 2)
	})
}

// next is the order about another cause, of letters that are still open.
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

// killed starts a process that runs a job, kills it after some transactions, and
// returns the job.
func (p *pile) killed(t *testing.T, fingerprint string) string {
	t.Helper()
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$") //nolint:gosec // this program
	process.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s 2000", childVariable, strings.Join(p.brokers, ","), p.topic, fingerprint))
	process.Stderr = t.Output()
	out, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var id string
	var done int
	for lines := bufio.NewScanner(out); done < 500 && lines.Scan(); {
		if _, err := fmt.Sscan(lines.Text(), &id, &done); err != nil {
			t.Fatalf("the process says %q", lines.Text())
		}
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = process.Wait()
	t.Logf("killed after %d letters", done)
	return id
}

// cut resumes a job and ends it with the request of a number: the connections
// break, before the request is sent or after, for good if it is a crash; else the
// process gives up in an orderly way.
func (p *pile) cut(t *testing.T, id string, rng *rand.Rand) (redrive.Job, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &wire{left: 5 + rng.IntN(150), after: rng.IntN(2) == 0, crash: rng.IntN(2) == 0, broken: cancel}
	cluster := kafka.New(kafka.Config{Brokers: p.brokers, Dial: w.dial})
	defer cluster.Close(context.Background())
	client := redrive.New(cluster, redrive.Config{Who: "bob@desk"})
	client.SetEvents(50)
	return client.Resume(ctx, p.topic, id, redrive.Run{TakeOver: true})
}

// wire breaks connections with the last of left requests.
type wire struct {
	mu           sync.Mutex
	left         int
	after, crash bool
	broken       func()
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if w.dead() {
		return nil, net.ErrClosed
	}
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	return &wired{c, w}, err
}

// dead reports whether this process is one that crashed.
func (w *wire) dead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.crash && w.left <= 0
}

// wired is a connection on a wire.
type wired struct {
	net.Conn
	wire *wire
}

func (c *wired) Write(b []byte) (int, error) {
	c.wire.mu.Lock()
	c.wire.left--
	last, gone := c.wire.left == 0, c.wire.crash && c.wire.left < 0
	after := c.wire.after
	c.wire.mu.Unlock()
	if last {
		if after {
			_, _ = c.Conn.Write(b)
		}
		_ = c.Close()
		c.wire.broken()
	}
	if last || gone {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// TestTwoOperators: the second is told who runs what, and takes over by order.
func TestTwoOperators(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 600)
		order := p.order(t, 0)
		order.Rate = 20
		begun, ended := make(chan redrive.Job, 100), make(chan error, 1)
		var last redrive.Job
		go func() {
			j, err := p.client("ann@desk").Start(t.Context(), order, redrive.Run{Progress: func(j redrive.Job) { begun <- j }})
			last = j
			ended <- err
		}()
		first := <-begun
		var held *redrive.HeldError
		other := p.next(t, order, 1)
		other.Who, other.Rate = "bob@desk", 0
		bob := p.client("bob@desk")
		if _, err := bob.Start(t.Context(), other, redrive.Run{}); !errors.As(err, &held) || held.Job.ID != first.ID || held.Job.Holder.Who != "ann@desk" || held.Job.Holder.Since.IsZero() {
			t.Fatalf("%v; want that ann@desk runs %s", err, first.ID)
		}
		if jobs, err := bob.Jobs(t.Context(), p.topic); err != nil || len(jobs) != 1 {
			t.Errorf("%d jobs, %v; the refused order is stored", len(jobs), err)
		}
		if _, err := bob.Resume(t.Context(), p.topic, first.ID, redrive.Run{}); !errors.As(err, &held) {
			t.Errorf("%v; want that ann@desk runs it", err)
		}
		done, err := bob.Start(t.Context(), other, redrive.Run{TakeOver: true})
		if err != nil || done.Done.Replayed != int64(p.of(1)) {
			t.Errorf("%+v, %v", done, err)
		}
		if err := <-ended; !errors.Is(err, redrive.ErrTakenOver) || !strings.Contains(err.Error(), "bob@desk") || last.State != redrive.Stopped || last.By != "bob@desk" {
			t.Errorf("%+v, %v; want that bob@desk took over", last, err)
		}
		jobs, err := bob.Jobs(t.Context(), "")
		if err != nil {
			t.Error(err)
		}
		i := slices.IndexFunc(jobs, func(j redrive.Job) bool { return j.ID == first.ID })
		if i < 0 || !strings.Contains(jobs[i].Reason, done.ID) || jobs[i].Why != "it is mended" {
			t.Errorf("%+v; want that job %s was taken over for %s", jobs, first.ID, done.ID)
		}
	})
}

// TestStopResume: a stop holds at once, wherever the job runs, and with it who
// gave it and why.
func TestStopResume(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 600)
		order := p.order(t, 0)
		order.Rate = 20
		begun, ended := make(chan redrive.Job, 100), make(chan error, 1)
		go func() {
			_, err := p.client("ann@desk").Start(t.Context(), order, redrive.Run{Progress: func(j redrive.Job) { begun <- j }})
			ended <- err
		}()
		first := <-begun
		bob := p.client("bob@desk")
		asked := time.Now()
		stopped, err := bob.Stop(t.Context(), p.topic, first.ID, "bob@desk", "the mail server is slow")
		if err != nil || stopped.State != redrive.Stopped || stopped.By != "bob@desk" || stopped.Reason != "the mail server is slow" {
			t.Fatalf("%+v, %v", stopped, err)
		}
		if took := time.Since(asked); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
		count := func() (n int64) {
			p.read(t, func(string, int) { n++ })
			return n
		}
		if err := <-ended; !errors.Is(err, redrive.ErrTakenOver) || !strings.Contains(err.Error(), "bob@desk stopped") {
			t.Errorf("%v; want that bob@desk stopped it", err)
		}
		if n := count(); n != stopped.Done.Replayed {
			t.Errorf("%d came back after the stop", n-stopped.Done.Replayed)
		}
		if _, err := bob.Stop(t.Context(), p.topic, "00000000", "bob@desk", ""); !errors.Is(err, redrive.ErrNoJob) {
			t.Errorf("%v, want ErrNoJob", err)
		}
		// The rest at once: a job keeps its rate, so this is a job of its own.
		rest := order
		rest.Rate = 0
		done, err := bob.Start(t.Context(), rest, redrive.Run{})
		if err != nil || done.Done.Replayed != int64(p.of(0))-stopped.Done.Replayed {
			t.Errorf("%+v, %v", done.Done, err)
		}
		again, err := bob.Resume(t.Context(), p.topic, first.ID, redrive.Run{})
		if err != nil || again.State != redrive.Done || again.Done.Replayed != stopped.Done.Replayed || again.By != "" {
			t.Errorf("%+v, %v; want that nothing is left to do", again, err)
		}
		p.back(t, 0)
	})
}

// TestWatch: a process that watches takes up what waits, and what a process has
// left that is gone.
func TestWatch(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 3000)
		order := p.order(t, 0)
		waiting, err := p.client("ann@desk").Submit(t.Context(), order)
		if err != nil || waiting.State != redrive.Waiting {
			t.Fatalf("%+v, %v", waiting, err)
		}
		left := p.killed(t, p.order(t, 1).Filter.Fingerprints[0])
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		for i := range 2 {
			watcher := p.client(fmt.Sprint("console-", i))
			watcher.SetLease(time.Second)
			go func() {
				_ = watcher.Watch(ctx)
				ended <- struct{}{}
			}()
		}
		for {
			jobs, err := p.client("x").Jobs(t.Context(), p.topic)
			if err != nil {
				t.Fatal(err)
			}
			done := slices.DeleteFunc(jobs, func(j redrive.Job) bool { return j.State != redrive.Done })
			if len(done) == 2 {
				if ids := []string{done[0].ID, done[1].ID}; !slices.Contains(ids, left) || !slices.Contains(ids, waiting.ID) {
					t.Errorf("%v are done, want %s and %s", ids, left, waiting.ID)
				}
				break
			}
			if t.Context().Err() != nil {
				t.FailNow()
			}
		}
		cancel()
		<-ended
		<-ended
		p.back(t, 0, 1)
	})
}
