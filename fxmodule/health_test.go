package fxmodule_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/health"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// fetch asks an endpoint, and leaves no connection behind.
func fetch(t *testing.T, e *fxmodule.HealthEndpoint, path string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	response, err := client.Get("http://" + e.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// mailServer is a service with a check.
type mailServer struct{ err error }

func (m *mailServer) Ping(context.Context) error { return m.err }

func TestHealthServer(t *testing.T) {
	cluster := newCluster(t)
	mail := &mailServer{}
	var endpoint *fxmodule.HealthEndpoint
	app := start(t, testConfig, on(cluster), fx.Supply(mail),
		fxmodule.HealthServer(":0", health.Check("disk", "", func(context.Context) error { return nil })),
		fxmodule.HealthCheck("mail", "mail server", (*mailServer).Ping, "smtp"),
		fx.Populate(&endpoint))
	if host, _, _ := net.SplitHostPort(endpoint.Addr().String()); host != "127.0.0.1" {
		t.Errorf("without a host it listens on %s", host)
	}
	want := `{"status":"Healthy","checks":{"disk":{"status":"Healthy","description":""},` +
		`"kafka":{"status":"Healthy","description":"Kafka connectivity check","tags":["messaging","kafka"]},` +
		`"mail":{"status":"Healthy","description":"mail server","tags":["smtp"]}}}`
	if code, body := fetch(t, endpoint, "/health"); code != 200 || body != want {
		t.Errorf("%d %s", code, body)
	}
	cluster.Disconnect()
	if code, body := fetch(t, endpoint, "/health/ready"); code != 503 || !strings.Contains(body, memory.ErrUnreachable.Error()) {
		t.Errorf("%d %s", code, body)
	}
	if code, body := fetch(t, endpoint, "/health/live"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	cluster.Reconnect()
	stop(t, app)
	if c, err := net.Dial("tcp", endpoint.Addr().String()); err == nil {
		c.Close()
		t.Error("it listens after the stop")
	}
}

func TestHealthServerCannotListen(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, address := range []string{listener.Addr().String(), "127.0.0.1", "nowhere.invalid:0"} {
		app := fx.New(fxmodule.Module, quiet, testConfig, on(newCluster(t)), fxmodule.HealthServer(address))
		err := app.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), `fxmodule: HealthServer("`+address+`") can't listen: `) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// silent is a cluster that never answers the first request, and refuses the others as
// unreachable.
type silent struct {
	transport.Transport
	asked  chan struct{}
	closed chan struct{}
}

var errSilent = errors.New("no broker answers: tried kafka:9092")

func (s *silent) Cluster(ctx context.Context) (transport.Cluster, error) {
	select {
	case <-s.asked:
		return transport.Cluster{}, errSilent
	default:
		close(s.asked)
		<-ctx.Done()
		return transport.Cluster{}, errors.Join(errSilent, ctx.Err())
	}
}

func (s *silent) Close(ctx context.Context) error {
	close(s.closed)
	return s.Transport.Close(ctx)
}

// TestUnreachableBroker starts without a broker: health says so meanwhile, the error is
// the bus's, not just a timeout, and everything is closed.
func TestUnreachableBroker(t *testing.T) {
	s := &silent{memory.New(), make(chan struct{}), make(chan struct{})}
	var endpoint *fxmodule.HealthEndpoint
	app := fx.New(fxmodule.Module, quiet, testConfig, fx.Decorate(func() transport.Transport { return s }),
		fxmodule.HealthServer(":0"), fx.Populate(&endpoint))
	started := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	go func() { started <- app.Start(ctx) }()
	receive(t, s.asked)
	if code, body := fetch(t, endpoint, "/health"); code != 503 || !strings.Contains(body, errSilent.Error()) {
		t.Errorf("health during the start: %d %s", code, body)
	}
	if code, body := fetch(t, endpoint, "/health/live"); code != 200 {
		t.Errorf("live during the start: %d %s", code, body)
	}
	if err := receive(t, started); !errors.Is(err, errSilent) || !strings.HasPrefix(err.Error(), "eventbus: start: ") {
		t.Errorf("error %v", err)
	}
	receive(t, s.closed)
}

// TestUnreachableKafka is the same with the real driver: on a port that nobody
// listens on, and on one where nobody answers.
func TestUnreachableKafka(t *testing.T) {
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections, but nothing answers
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for _, address := range []string{refusing.Addr().String(), mute.Addr().String()} {
		app := fx.New(fxmodule.Module, quiet, testConfig, fx.Supply(kafka.Config{Brokers: []string{address}}))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if err := app.Start(ctx); err == nil || !strings.Contains(err.Error(), address) || ctx.Err() != nil {
			t.Errorf("error %v", err)
		}
		cancel()
	}
}

// TestHealthByConfiguration: an address in a file or a variable is enough, and the
// program's option takes precedence.
func TestHealthByConfiguration(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "appsettings.json"), fmt.Appendf(nil, `{"EventBus": {"Health": {"Address": %q}}}`, address), 0o600); err != nil {
		t.Fatal(err)
	}
	live := func(t *testing.T, directory string, more ...string) {
		t.Helper()
		variables := append(more, "EventBus__Service=billing", "EventBus__Environment=Test")
		defer stop(t, start(t, on(newCluster(t)), fxmodule.FromEnvironment(config.Directory(directory), config.Environ(variables...))))
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
		response, err := client.Get("http://" + address + "/health/live")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("health is served with status %d", response.StatusCode)
		}
	}
	t.Run("file", func(t *testing.T) { live(t, dir) })
	t.Run("variable", func(t *testing.T) { live(t, t.TempDir(), "EventBus__Health__Address="+address) })
	t.Run("code", func(t *testing.T) {
		var endpoint *fxmodule.HealthEndpoint
		defer stop(t, start(t, testConfig, on(newCluster(t)), fxmodule.HealthServer(":0"), fx.Populate(&endpoint),
			fx.Supply(config.Config{Health: config.Health{Address: address}})))
		if got := endpoint.Addr().String(); got == address {
			t.Errorf("served at %s", got)
		}
	})
}

type parcel struct {
	ID string `json:"id" eventbus:"key"`
}

type post struct{ got chan parcel }

func (p *post) Deliver(_ context.Context, e parcel) error { p.got <- e; return nil }

func (p *post) DeliverAll(_ context.Context, events []parcel) error {
	for _, e := range events {
		p.got <- e
	}
	return nil
}

// Audit and AuditAll take any event.
func (p *post) Audit(_ context.Context, e *eventbus.Envelope) error {
	p.got <- parcel{e.Type}
	return nil
}

func (p *post) AuditAll(ctx context.Context, events []*eventbus.Envelope) error {
	for _, e := range events {
		_ = p.Audit(ctx, e)
	}
	return nil
}

// TestSubscribeAny: methods of services handle any event of a topic, alone and in
// batches.
func TestSubscribeAny(t *testing.T) {
	topic := eventbus.NewTopic(eventbus.TopicConfig[parcel]{Domain: "mail", Name: "parcel"})
	p := &post{make(chan parcel, 2)}
	var publisher *eventbus.Publisher[parcel]
	defer stop(t, start(t, testConfig, on(newCluster(t)), fx.Supply(p), fxmodule.Publisher(topic), fx.Populate(&publisher),
		fxmodule.SubscribeAny(topic, (*post).Audit),
		fxmodule.SubscribeAnyBatch(topic, (*post).AuditAll, eventbus.Group("second"))))
	if err := publisher.Publish(t.Context(), parcel{"1"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if e := <-p.got; e.ID != "parcel" {
			t.Errorf("it got %v", e)
		}
	}
}

// TestHandleByType: handlers find their topics in the set, methods, functions and
// batches alike; a type that is not in it fails the start.
func TestHandleByType(t *testing.T) {
	topic := eventbus.NewTopic(eventbus.TopicConfig[parcel]{Domain: "mail", Name: "parcel"})
	p := &post{make(chan parcel, 3)}
	var bus *eventbus.Bus
	defer stop(t, start(t, testConfig, on(newCluster(t)), fx.Supply(p), fxmodule.Topics(topic), fx.Populate(&bus),
		fxmodule.Handle((*post).Deliver),
		fxmodule.HandleFunc(p.Deliver, eventbus.Group("second")),
		fxmodule.SubscribeBatch(topic, (*post).DeliverAll, eventbus.Group("third"))))
	if err := eventbus.Publish(t.Context(), bus, parcel{"1"}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if e := <-p.got; e.ID != "1" {
			t.Errorf("it got %v", e)
		}
	}
	app := fx.New(fx.NopLogger, fxmodule.Module, testConfig, on(newCluster(t)), fx.Supply(p), fxmodule.Handle((*post).Deliver))
	if err := app.Err(); err == nil || !strings.Contains(err.Error(), "fxmodule_test.parcel: set Config.Topics") {
		t.Errorf("without a set: %v", err)
	}
}
