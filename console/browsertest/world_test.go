package browsertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest/embedded"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

// The events of the world: an order is placed, which a payment follows.
type (
	orderPlaced struct {
		OrderID string `json:"orderId" eventbus:"key" doc:"The order's number"`
		Email   string `json:"email" data:"personal" doc:"Where the receipt goes"`
		Cents   int64  `json:"cents" doc:"What is to be paid"`
	}
	paymentTaken struct {
		OrderID string `json:"orderId" eventbus:"key"`
		Cents   int64  `json:"cents"`
	}
	parcelSent struct {
		OrderID string `json:"orderId" eventbus:"key"`
	}
)

var (
	orders   = eventbus.NewTopic(eventbus.TopicConfig[orderPlaced]{Domain: "sales", Name: "order", Plural: true, Type: "OrderPlaced", Partitions: 3})
	payments = eventbus.NewTopic(eventbus.TopicConfig[paymentTaken]{Domain: "sales", Name: "payment", Plural: true, Type: "PaymentTaken", Partitions: 3})
	parcels  = eventbus.NewTopic(eventbus.TopicConfig[parcelSent]{Domain: "logistics", Name: "parcel", Plural: true, Type: "ParcelSent", Partitions: 1})
)

const (
	ordersTopic = "test.sales.public.orders.v1"
	letterTopic = ordersTopic + ".billing-test.dlq"
	hostileKey  = "<script>document.title='owned'</script>\x1b[31m\u202egnp"
	hostileText = "</td><img src=x onerror=\"document.title='owned'\"> \x07\u009b2J '\"`{{7*7}}"
)

// world is a broker, two members of a service with much that went wrong, another service
// that handles the same orders, and consoles that know the two.
type world struct {
	broker  *embedded.Cluster
	cluster *kafka.Transport
	members []*eventbus.Bus
	admins  []*httptest.Server
	config  console.Config
	at      string // of the console, once it is served
	log     *record

	mu      sync.Mutex
	healthy bool // handlers work
	audited int  // orders that the other service has handled
	paid    map[string]int
}

// counted returns how many orders the other service has handled, and how often each
// order of a kind was paid.
func (w *world) counted(kind string) (audited int, paid []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, n := range w.paid {
		if strings.HasPrefix(id, kind+"-") {
			paid = append(paid, n)
		}
	}
	return w.audited, paid
}

// works reports whether handlers succeed with what failed before.
func (w *world) works() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.healthy
}

func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.healthy = true
}

// handleOrder takes payments. The order c-1 waits for a database that is down, and
// those of three kinds are refused for good.
func (w *world) handleOrder(pay *eventbus.Publisher[paymentTaken]) func(context.Context, orderPlaced) error {
	return func(ctx context.Context, o orderPlaced) error {
		kind, _, _ := strings.Cut(o.OrderID, "-")
		if !w.works() {
			switch kind {
			case "c":
				return eventbus.RetryAfter(2*time.Minute, errors.New("dial tcp 10.0.0.7:5432: connect: connection refused"))
			case hostileKey:
				return eventbus.RetryAfter(3*time.Minute, errors.New(hostileText))
			case "expired":
				return eventbus.Permanent(fmt.Errorf("the card of order %q has expired", o.OrderID))
			case "blocked":
				return eventbus.Permanent(fmt.Errorf("payment provider: 403 account %s is blocked", o.OrderID))
			case "odd":
				return eventbus.Permanent(fmt.Errorf("amount %d is not a multiple of 5", o.Cents))
			case "evil":
				return eventbus.Permanent(errors.New(hostileText))
			}
		}
		return pay.Publish(ctx, paymentTaken{o.OrderID, o.Cents})
	}
}

// newWorld starts all of it, and stops it with the test.
func newWorld(t *testing.T, readOnly bool) *world {
	t.Helper()
	broker, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	w := &world{broker: broker, log: &record{}, paid: make(map[string]int)}
	w.cluster = w.connect(t)
	var members []console.Member
	for i := range 2 {
		bus := w.member(t, i)
		w.members = append(w.members, bus)
		server := httptest.NewServer(admin.Handler(bus, admin.Token(secret.Text("between-programs"))))
		t.Cleanup(server.Close)
		w.admins = append(w.admins, server)
		members = append(members, console.Member{URL: server.URL, Token: secret.Text("between-programs")})
	}
	w.config = console.Config{
		Members: members, Cluster: w.cluster, Environment: "Test", Title: "billing", ReadOnly: readOnly, ShowData: true,
		Tokens:   []console.Token{{Name: "alice", Value: secret.Text("right-token")}, {Name: "bob", Value: secret.Text("other-token")}},
		Location: time.UTC, Outbox: relays, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	return w
}

// open serves a console of the world, as another process would, and returns its address.
func (w *world) open(t *testing.T) (*console.Console, string) {
	t.Helper()
	c, err := console.New(w.config)
	must(t, err)
	server := httptest.NewServer(http.StripPrefix("/ops", c))
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return c, server.URL + "/ops/"
}

// address is where the console is served that most tests have.
func (w *world) address(t *testing.T) string {
	t.Helper()
	if w.at == "" {
		_, w.at = w.open(t)
	}
	return w.at
}

func (w *world) connect(t *testing.T) *kafka.Transport {
	t.Helper()
	c := kafka.New(kafka.Config{Brokers: w.broker.Brokers()})
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// member starts a bus of the service.
func (w *world) member(t *testing.T, i int) *eventbus.Bus {
	t.Helper()
	bus, err := eventbus.New(w.connect(t), eventbus.Config{
		Service: "billing", Environment: "Test", Logger: slog.New(slog.DiscardHandler), HeartbeatInterval: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	pay := eventbus.NewPublisher(bus, payments)
	if err := errors.Join(
		eventbus.Subscribe(bus, orders, w.handleOrder(pay), eventbus.Retry(resilience.Retry{Elapsed: time.Hour})),
		eventbus.Subscribe(bus, payments, func(_ context.Context, p paymentTaken) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.paid[p.OrderID]++
			return nil
		}),
		eventbus.Subscribe(bus, parcels, func(context.Context, parcelSent) error {
			return errors.New("carrier: 503 service unavailable")
		}, eventbus.Breaker(resilience.BreakerConfig{MinKeys: 2, MinAttempts: 2, Window: time.Minute, After: -1, OpenFor: time.Hour})),
	); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = bus.Close(ctx) // keys are parked: not all of it can be drained
	})
	return bus
}

// audit starts the other service.
func (w *world) audit(t *testing.T) {
	t.Helper()
	bus, err := eventbus.New(w.connect(t), eventbus.Config{Service: "audit", Environment: "Test", Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	must(t, eventbus.Subscribe(bus, orders, func(context.Context, orderPlaced) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.audited++
		return nil
	}))
	must(t, bus.Start(t.Context()))
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
}

// trouble publishes what goes wrong, with so many dead letters of each of three causes,
// interleaved, and waits until it has.
func (w *world) trouble(t *testing.T, each int) {
	t.Helper()
	w.await(t, "both members to have partitions", func() bool {
		for _, m := range w.members {
			if g := m.Operator().Inspect().Groups[0]; !g.Joined || len(g.Partitions) == 0 {
				return false
			}
		}
		return true
	})
	publish := eventbus.NewPublisher(w.members[0], orders)
	ctx := t.Context()
	for i := range 40 {
		must(t, publish.Publish(ctx, orderPlaced{fmt.Sprintf("fine-%d", i), "someone@example.com", 100}))
	}
	for range 3 {
		must(t, publish.PublishWith(ctx, orderPlaced{"c-1", "carol@example.com", 4200}, eventbus.WithCorrelationID("flow-c-1")))
	}
	must(t, publish.Publish(ctx, orderPlaced{hostileKey, "mallory@example.com", 1}))
	var publishing sync.WaitGroup
	for from := range 20 { // at once: a publish waits for its acknowledgement
		publishing.Go(func() {
			for i := from; i < each; i += 20 {
				for _, kind := range []string{"expired", "blocked", "odd"} {
					if err := publish.PublishWith(ctx, orderPlaced{fmt.Sprintf("%s-%d", kind, i), "dave@example.com", 1001 + int64(i)}, eventbus.WithCorrelationID(fmt.Sprintf("flow-%s-%d", kind, i))); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	publishing.Wait()
	must(t, publish.Publish(ctx, orderPlaced{"evil-1", "mallory@example.com", 1}))
	send := eventbus.NewPublisher(w.members[0], parcels)
	for i := range 6 {
		must(t, send.Publish(ctx, parcelSent{fmt.Sprintf("parcel-%d", i)}))
	}
	w.await(t, "a stuck key, an open breaker and the dead letters", func() bool {
		parked, open := int64(0), false
		for _, m := range w.members {
			for _, g := range m.Operator().Inspect().Groups {
				parked += g.ParkedKeys
				for _, s := range g.Subscriptions {
					open = open || s.Breaker == "open"
				}
			}
		}
		return open && parked >= 4 && w.letters(t) == int64(3*each+1)
	})
}

// letters counts the dead letters of the orders.
func (w *world) letters(t *testing.T) (n int64) {
	t.Helper()
	infos, err := w.cluster.Admin().Topics(t.Context(), letterTopic)
	if err != nil || infos[0].Err != nil {
		return 0
	}
	partitions := make([]transport.Partition, infos[0].Partitions)
	for i := range partitions {
		partitions[i] = transport.Partition{Topic: letterTopic, Partition: int32(i)}
	}
	end, err := w.cluster.Admin().Offsets(t.Context(), transport.Latest(), partitions...)
	if err != nil {
		t.Fatal(err)
	}
	for _, offset := range end {
		n += offset
	}
	return n
}

// await waits for a state that nothing signals.
func (w *world) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	end := time.After(30 * time.Second)
	for !is() {
		select {
		case <-look.C:
		case <-end:
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record keeps a log for a test to read.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// parked reports whether a key waits at one of the members.
func (w *world) parked(key string) bool {
	for _, m := range w.members {
		for _, g := range m.Operator().Inspect().Groups {
			for _, p := range g.Partitions {
				for _, k := range p.Parked {
					if k.Key == key {
						return true
					}
				}
			}
		}
	}
	return false
}

// relays is an outbox of which Kafka refused an event.
func relays(context.Context) (console.OutboxStatus, error) {
	return console.OutboxStatus{
		Relays:    []console.OutboxRelay{{Name: "default", Holder: "billing-7d4f/1", Pending: 1204, Oldest: 42 * time.Second, Parked: 2, Published: 88_213}, {Name: "old", Still: 49 * time.Hour}},
		Scheduled: 3,
		Waiting: []console.OutboxWaiting{
			{ID: 88214, Relay: "default", Topic: ordersTopic, Key: []byte(hostileKey), Waiting: 3 * time.Minute, Attempts: 7, Error: hostileText},
			{ID: 88215, Relay: "default", Topic: ordersTopic, Key: []byte(hostileKey), Waiting: 2 * time.Minute},
		},
	}, nil
}
