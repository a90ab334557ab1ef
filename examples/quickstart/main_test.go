package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/examples/quickstart/contracts/sales"
	"github.com/eventbus-go/eventbus/kafkatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The whole story, on each kind of cluster.
func TestOnce(t *testing.T) {
	for name, cluster := range map[string]func(*testing.T) *kafkatest.Cluster{
		"Memory": func(t *testing.T) *kafkatest.Cluster { return kafkatest.NewMemory(t) },
		"Broker": func(t *testing.T) *kafkatest.Cluster { return kafkatest.NewBroker(t) },
	} {
		t.Run(name, func(t *testing.T) {
			cluster := cluster(t)
			var out bytes.Buffer
			o, err := parse([]string{"--once", "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0", "--brokers", "127.0.0.1:1"}, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			o.out, o.more = &out, cluster.Module()
			if err := run(t.Context(), o); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			for _, want := range []string{
				"sends to grace@example.com: Welcome, Grace Hopper!",
				"sends to ada@example.com: Welcome, Ada Lovelace!",
				`"familyName":"Lovelace"`,
				"everything is finished, committed and closed",
			} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in\n%s", want, &out)
				}
			}
			if got := kafkatest.Handled(t, cluster, sales.CustomerCreatedTopic); len(got) != 1 || got[0].GivenName != "Ada" {
				t.Errorf("handled: %+v", got)
			}
			letters := kafkatest.DeadLettered(t, cluster, sales.CustomerCreatedTopic)
			if len(letters) != 1 || letters[0].Event.FamilyName != "Nobody" || letters[0].Reason != "permanent" || letters[0].Attempts != 1 {
				t.Errorf("dead letters: %+v", letters)
			}
		})
	}
}

// Without --once it serves until it is told to end.
func TestServesUntilTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &waitingBuffer{until: "end it with Ctrl-C", found: make(chan struct{})}
	ended := make(chan error, 1)
	o, err := parse([]string{"--listen", "127.0.0.1:0", "--health", "127.0.0.1:0"}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	o.out = out
	go func() { ended <- run(ctx, o) }()
	select {
	case <-out.found:
	case err := <-ended:
		t.Fatalf("%v\n%s", err, out)
	}
	_, line, _ := strings.Cut(out.String(), "sales-api  listens; its health: ")
	url, _, _ := strings.Cut(line, "\n")
	answer, err := request(ctx, http.MethodGet, url, "")
	var health struct{ Status string }
	if err != nil || json.Unmarshal([]byte(answer), &health) != nil || health.Status != "Healthy" {
		t.Errorf("%s: %s, %v", url, answer, err)
	}
	base := strings.TrimSuffix(url, "/health")
	for body, want := range map[string]string{`{`: "400", `{"givenName":"X"}`: "familyName is missing"} {
		if _, err := request(ctx, http.MethodPost, base+"/customers", body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A port that is taken is told, and what has started already is stopped.
func TestPortIsTaken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	cluster := kafkatest.NewMemory(t)
	o := options{role: roleAll, listen: "127.0.0.1:0", health: listener.Addr().String(), out: new(bytes.Buffer), brokers: []string{"127.0.0.1:1"}, more: cluster.Module()}
	if err := run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "mailer does not start") {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	for args, fault := range map[string]string{
		"":                                       "",
		"--role mailer --brokers 127.0.0.1:9092": "",
		"--role sales-api":                       "needs --brokers",
		"--role cook":                            "use sales-api, mailer or all",
		"--once --role mailer --brokers 127.0.0.1:9092": "needs --role all",
		"now":    `"now" is not a flag`,
		"--what": "not defined",
	} {
		if _, err := parse(strings.Fields(args), new(bytes.Buffer)); (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// waitingBuffer tells when a text has been written.
type waitingBuffer struct {
	mu    sync.Mutex
	text  strings.Builder
	until string
	once  sync.Once
	found chan struct{}
}

func (b *waitingBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p)
	if strings.Contains(b.text.String(), b.until) {
		b.once.Do(func() { close(b.found) })
	}
	return len(p), nil
}

func (b *waitingBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
