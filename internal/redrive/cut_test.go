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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// childVariable turns this program into a process that runs a job until it is killed.
const childVariable = "EVENTBUS_TEST_REDRIVE_CHILD"

// child runs a job instead of the tests, if this process was started for it.
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

// TestJobSurvives: a process that is killed, and others whose connections break in the middle
// of random requests, bring back one of three causes over 10,000 letters: each letter once, in
// order, and no other.
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

// killed starts a process that runs a job, kills it after some transactions, and returns the
// id of the job.
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

// cut resumes a job and ends it at a random request: the connections break before or after the
// request is sent. In a crash they stay broken; otherwise the process gives up cleanly.
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

// wire breaks its connections once left requests have been sent.
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

// dead reports whether the process has crashed.
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

// TestJobOutlivesConnections: a job goes on by itself if connections break in the middle of
// requests while the cluster is up.
func TestJobOutlivesConnections(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 1200)
		breaks := 0
		w := &wire{left: 30, after: true}
		w.broken = func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			breaks++
			w.left, w.after = 10+20*breaks, breaks%2 == 0
		}
		cluster := kafka.New(kafka.Config{Brokers: p.brokers, Dial: w.dial})
		defer cluster.Close(context.Background())
		client := redrive.New(cluster, redrive.Config{Who: "ann@desk", Create: true})
		client.SetEvents(20)
		j, err := client.Start(t.Context(), p.order(t, 1), redrive.Run{})
		if err != nil || j.Done.Replayed != int64(p.of(1)) || j.State != redrive.Done {
			t.Errorf("%+v, %v", j, err)
		}
		if breaks < 2 {
			t.Errorf("connections broke %d times", breaks)
		}
		p.back(t, 1)
	})
}

// TestDoneUnknown: a job is done if its last transaction was committed and its process has not
// learned that: neither does another one seem to have it, nor is it stopped afterwards.
func TestDoneUnknown(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 120)
	client := p.client("ann@desk")
	done, err := client.Start(t.Context(), p.order(t, 0), redrive.Run{})
	if err != nil || done.State != redrive.Done {
		t.Fatalf("%+v, %v", done, err)
	}
	for name, next := range map[string]func(context.Context, *redrive.Job) error{
		"tries again":                    func(ctx context.Context, j *redrive.Job) error { return client.Persist(ctx, j, false) },
		"is interrupted":                 func(ctx context.Context, j *redrive.Job) error { return client.Persist(ctx, j, true) },
		"is interrupted, and reads late": client.Quit,
	} {
		j := done
		j.State = redrive.Running // as far as the process knows
		if err := next(t.Context(), &j); err != nil || j.State != redrive.Done {
			t.Errorf("%s: %s, %v", name, j.State, err)
		}
		if left, err := client.Find(t.Context(), j.ID); err != nil || left.State != redrive.Done || left.Done != done.Done {
			t.Errorf("%s: left %+v, %v", name, left, err)
		}
	}
}
