package kafka

import (
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

// TestTransportIsNarrow: a bus's author sees what a bus uses. What operators need is
// in Admin, and Throttled and Transactor are the only methods beside the interface.
func TestTransportIsNarrow(t *testing.T) {
	if n := reflect.TypeFor[*Transport]().NumMethod(); n > 8 {
		t.Errorf("Transport has %d methods, more than 8: add operators' methods to Admin", n)
	}
}

func TestCluster(t *testing.T) {
	b := bed.NewBed(t, 1, kfake.NumBrokers(3), kfake.ClusterID("it"))
	got, err := transportOf(b).Cluster(t.Context())
	if err != nil || got.ID != "it" || len(got.Brokers) != 3 || got.Brokers[2].ID != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestUnreachable: the error names every broker and what was wrong with it, in
// time.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(ctx context.Context, _, address string) (net.Conn, error) {
			if address == "127.0.0.1:1" {
				return nil, bed.ErrDown
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		tr := New(Config{Brokers: []string{"127.0.0.1:1", "127.0.0.1:2"}, Dial: silent, DialTimeout: time.Second})
		defer func() { _ = tr.Close(context.Background()) }()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := tr.Cluster(ctx)
		for _, says := range []string{"127.0.0.1:1", "127.0.0.1:2", bed.ErrDown.Error()} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v does not say %q", err, says)
			}
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestFrozenBroker: a broker that takes connections and says nothing, while
// connections are set up and later, holds nobody for longer than its timeouts.
func TestFrozenBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mute := func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { _ = theirs.Close() })
			go func() {
				b := make([]byte, 1024)
				for {
					if _, err := theirs.Read(b); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}
		tr := New(Config{Brokers: []string{"127.0.0.1:1"}, Dial: mute, DialTimeout: time.Second, SASL: SASL{Mechanism: "PLAIN", Username: "u", Password: secret.Text("p")}})
		begun := time.Now()
		_, err := tr.Cluster(t.Context())
		if err == nil {
			t.Error("a silent broker answered")
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v, the dial timeout is a second", took)
		}
		if err := tr.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := tr.Cluster(t.Context()); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestSlowBroker: the only broker that is known takes five seconds to connect to.
func TestSlowBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		quick := b.Wires.Dial
		b.Wires.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			select {
			case <-time.After(5 * time.Second):
				return quick(ctx, network, address)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if _, err := transportOf(b).Cluster(t.Context()); err != nil {
			t.Errorf("it is given up: %v", err)
		}
	})
}

// TestOldBroker: versions are negotiated, here with what Kafka 2.8 speaks.
func TestOldBroker(t *testing.T) {
	b := bed.NewBed(t, 2, kfake.MaxVersions(kversion.V2_8_0()))
	p := startProducer(b, transport.ProducerConfig{})
	b.Delivered(b.Publish(p, 1, "x"))
	if got := b.Log(1); len(got) != 1 {
		t.Errorf("the log holds %q", got)
	}
	a := transportOf(b).Admin()
	if err := a.CreateTopics(t.Context(), transport.TopicSpec{Name: "new", Partitions: 3}); err != nil {
		t.Error(err)
	}
	if _, err := a.Committed(t.Context(), "g", "events"); err != nil {
		t.Error(err)
	}
	if _, err := a.Offsets(t.Context(), transport.Latest(), transport.Partition{Topic: "new", Partition: 2}); err != nil {
		t.Error(err)
	}
	if _, err := transportOf(b).client.Request(t.Context(), -1, kmsg.NewPtrConsumerGroupHeartbeatRequest()); !errors.Is(err, kerr.UnsupportedVersion) {
		t.Errorf("a request that the broker doesn't know: %v", err)
	}
}

// TestNewBroker: a broker that came after the connection pool looked is found.
func TestNewBroker(t *testing.T) {
	b := bed.NewBed(t, 1, kfake.NumBrokers(1))
	c := transportOf(b).client
	if err := c.Refresh(t.Context(), "events"); err != nil {
		t.Fatal(err)
	}
	id, _, err := b.AddNode(7, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.MoveTopicPartition("events", 0, id); err != nil {
		t.Fatal(err)
	}
	p := startProducer(b, transport.ProducerConfig{})
	b.Delivered(b.Publish(p, 0, "x"))
	if got := b.Log(0); len(got) != 1 {
		t.Errorf("the log holds %q", got)
	}
}
