package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	tracecollector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes OTLP over HTTP, and counts the spans of each service.
type collector struct {
	mu      sync.Mutex
	spans   map[string]int // by service and the span's first word
	metrics int
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/v1/metrics":
		c.metrics++
	case "/v1/traces":
		var request tracecollector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, of := range request.ResourceSpans {
			service := of.Resource.Attributes[0].Value.GetStringValue()
			for _, scope := range of.ScopeSpans {
				for _, s := range scope.Spans {
					word, _, _ := strings.Cut(s.Name, " ")
					c.spans[service+" "+word]++
				}
			}
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestOTLP(t *testing.T) {
	c := &collector{spans: make(map[string]int)}
	server := httptest.NewServer(c)
	defer server.Close()
	s, _, _ := newSettings(t, 200, "--month", "0", "--otlp="+server.URL)
	if code := execute(t.Context(), s); code != exitEqual {
		t.Fatalf("exit %d", code)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if c.spans["airport send"] != 200 || c.spans["delay-board process"] < 200 || c.spans["delay-board commit"] != 0 || c.metrics < 2 {
		t.Errorf("spans %v, metrics sent %d times", c.spans, c.metrics)
	}
}

// A collector that is not there does not keep the flights from flying.
func TestNoCollector(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	s, _, _ := newSettings(t, 50, "--month", "0", "--otlp="+server.URL)
	said := new(console)
	s.stderr = said
	if code := execute(t.Context(), s); code != exitEqual {
		t.Errorf("exit %d", code)
	}
	if text := said.String(); strings.Count(text, "telemetry is not taken") != 1 || strings.Count(text, "refused") != 1 {
		t.Errorf("it says\n%s", text)
	}
}

// awaited is a writer that finds the address of /metrics in what is said.
type awaited struct {
	mu    sync.Mutex
	said  bytes.Buffer
	found chan string
}

var metricsURL = regexp.MustCompile(`metrics are at (\S+)`)

func (a *awaited) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, err := a.said.Write(p)
	if url := metricsURL.FindSubmatch(a.said.Bytes()); url != nil {
		a.said.Reset()
		a.found <- string(url[1])
	}
	return n, err
}

// TestMetrics looks at what Prometheus would fetch, which lasts until the run is
// told to stop, and its exit is that of the comparison.
func TestMetrics(t *testing.T) {
	s, _, _ := newSettings(t, 200, "--month", "0", "--metrics", ":0")
	said := &awaited{found: make(chan string, 1)}
	s.stderr = said
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- execute(ctx, s) }()
	var url string
	select {
	case url = <-said.found:
	case <-time.After(time.Minute):
		t.Fatal("no word of /metrics")
	}
	if !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Errorf("without a host it is at %s", url)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", response.Status, err)
	}
	for _, line := range []string{
		`messaging_client_sent_messages_total\{.*service_name="airport".*\} 200`,
		`messaging_client_consumed_messages_total\{.*service_name="delay-board".*\} \d+`,
		`eventbus_dead_letters_total\{.*eventbus_dead_letter_reason="malformed".*\} \d`,
		`target_info\{.*service_name="airport".*\} 1`,
	} {
		if !regexp.MustCompile("(?m)^" + line + "$").Match(body) {
			t.Errorf("nothing like %s in\n%.3000s", line, body)
		}
	}
	stop()
	if code := <-ended; code != exitEqual {
		t.Errorf("exit %d", code)
	}
}

func TestOTLPFlag(t *testing.T) {
	for text, want := range map[string]endpoint{
		"--otlp": defaultOTLP, "--otlp=https://collector.example:4318/in": "https://collector.example:4318/in",
		"--otlp=collector": "", "--otlp=false": "",
	} {
		s, err := parse([]string{text}, new(bytes.Buffer))
		if s.otlp != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", text, s.otlp, err)
		}
	}
}
