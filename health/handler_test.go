package health_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/health"
)

// fake is a bus whose health is what it is told.
type fake func(context.Context) eventbus.Health

func (f fake) Health(ctx context.Context) eventbus.Health { return f(ctx) }

// says is a fake that always says the same.
func says(h eventbus.Health) fake { return func(context.Context) eventbus.Health { return h } }

func kafkaCheck(status eventbus.HealthStatus, problem string) map[string]eventbus.HealthCheck {
	return map[string]eventbus.HealthCheck{
		"kafka": {Status: status, Description: "Kafka connectivity check", Tags: []string{"messaging", "kafka"}, Error: problem},
	}
}

var well = eventbus.Health{Status: eventbus.Healthy, Checks: kafkaCheck(eventbus.Healthy, ""), Live: true, Ready: true}

var quiet = health.Logger(slog.New(slog.DiscardHandler))

func ask(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func get(h http.Handler, path string) (int, string) {
	w := ask(h, http.MethodGet, path)
	return w.Code, w.Body.String()
}

const (
	kafkaWell = `"kafka":{"status":"Healthy","description":"Kafka connectivity check","tags":["messaging","kafka"]}`
	busWell   = `"bus":{"status":"Healthy","description":"Event bus liveness check"}`
)

func TestAnswers(t *testing.T) {
	down := eventbus.Health{Status: eventbus.Unhealthy, Checks: kafkaCheck(eventbus.Unhealthy, "no broker answers"), Live: true}
	kafkaDown := `"kafka":{"status":"Unhealthy","description":"Kafka connectivity check","tags":["messaging","kafka"],"error":"no broker answers"}`
	degraded := well
	degraded.Status, degraded.Checks = eventbus.Degraded, kafkaCheck(eventbus.Degraded, "slow")
	stuck := down
	stuck.Live = false
	waiting := well
	waiting.Ready = false

	passing := health.Check("database", "orders database", func(context.Context) error { return nil }, "db")
	failing := health.Check("database", "", func(context.Context) error { return errors.New("dial postgres://user:hunter2@db") })
	liveFailing := health.Check("disk", "", func(context.Context) error { return errors.New("full") }, health.Live)
	panicking := health.Check("database", "", func(context.Context) error { panic("hunter2") })

	for _, c := range []struct {
		name    string
		bus     eventbus.Health
		options []health.Option
		path    string
		code    int
		body    string
	}{
		{"healthy", well, nil, "/health", 200, `{"status":"Healthy","checks":{` + kafkaWell + `}}`},
		{"slash", well, nil, "/health/", 200, `{"status":"Healthy","checks":{` + kafkaWell + `}}`},
		{"ready", well, nil, "/health/ready", 200, `{"status":"Healthy","checks":{` + kafkaWell + `}}`},
		{"live", well, nil, "/health/live", 200, `{"status":"Healthy","checks":{` + busWell + `}}`},
		{"degraded", degraded, nil, "/health", 200, `{"status":"Degraded","checks":{` + strings.Replace(kafkaWell, `"Healthy"`, `"Degraded"`, 1)[:len(kafkaWell)] + `,"error":"slow"}}}`},
		{"broker down", down, nil, "/health", 503, `{"status":"Unhealthy","checks":{` + kafkaDown + `}}`},
		{"broker down, ready", down, nil, "/health/ready", 503, `{"status":"Unhealthy","checks":{` + kafkaDown + `}}`},
		{"broker down, live", down, nil, "/health/live", 200, `{"status":"Healthy","checks":{` + busWell + `}}`},
		{"stuck", stuck, nil, "/health/live", 503, `{"status":"Unhealthy","checks":{"bus":{"status":"Unhealthy","description":"Event bus liveness check","error":"stuck: kafka: no broker answers"}}}`},
		{"not ready", waiting, nil, "/health", 200, `{"status":"Healthy","checks":{` + kafkaWell + `}}`},
		{"not ready, ready", waiting, nil, "/health/ready", 503, `{"status":"Unhealthy","checks":{` + kafkaWell + `}}`},
		{"own check", well, []health.Option{passing}, "/health", 200,
			`{"status":"Healthy","checks":{"database":{"status":"Healthy","description":"orders database","tags":["db"]},` + kafkaWell + `}}`},
		{"own check fails, without its secret", well, []health.Option{failing}, "/health/ready", 503,
			`{"status":"Unhealthy","checks":{"database":{"status":"Unhealthy","description":"","error":"failed"},` + kafkaWell + `}}`},
		{"own check panics", well, []health.Option{panicking}, "/health", 503,
			`{"status":"Unhealthy","checks":{"database":{"status":"Unhealthy","description":"","error":"failed"},` + kafkaWell + `}}`},
		{"own check and live", well, []health.Option{failing}, "/health/live", 200, `{"status":"Healthy","checks":{` + busWell + `}}`},
		{"own check for live", well, []health.Option{liveFailing}, "/health/live", 503,
			`{"status":"Unhealthy","checks":{` + busWell + `,"disk":{"status":"Unhealthy","description":"","tags":["live"],"error":"failed"}}}`},
		{"two buses", well, []health.Option{health.Buses(says(down))}, "/health", 503,
			`{"status":"Unhealthy","checks":{` + kafkaWell + `,` + strings.Replace(kafkaDown, "kafka", "kafka (2)", 1) + `}}`},
		{"two buses, live", well, []health.Option{health.Buses(says(stuck))}, "/health/live", 503,
			`{"status":"Unhealthy","checks":{` + busWell + `,"bus (2)":{"status":"Unhealthy","description":"Event bus liveness check","error":"stuck: kafka: no broker answers"}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, body := get(health.Handler(says(c.bus), append(c.options, quiet)...), c.path)
			if code != c.code || body != c.body {
				t.Errorf("got  %d %s\nwant %d %s", code, body, c.code, c.body)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	h := health.Handler(says(well))
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/health", 200}, {"HEAD", "/health", 200}, {"HEAD", "/health/live", 200},
		{"POST", "/health", 405}, {"DELETE", "/health/ready", 405}, {"OPTIONS", "/health/live", 405},
		{"GET", "/", 404}, {"GET", "/healthy", 404}, {"POST", "/health/live/x", 404},
	} {
		w := ask(h, c.method, c.path)
		if w.Code != c.code {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.code)
		}
		if allow := w.Header().Get("Allow"); (allow == "GET, HEAD") != (c.code == 405) {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, allow)
		}
		if c.code == 200 && (w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store") {
			t.Errorf("%s %s: headers %v", c.method, c.path, w.Header())
		}
		if c.method == "HEAD" && w.Body.Len() > 0 {
			t.Errorf("HEAD %s has a body", c.path)
		}
	}
}

func TestServed(t *testing.T) {
	server := httptest.NewServer(health.Handler(says(well)))
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != `{"status":"Healthy","checks":{`+kafkaWell+`}}` {
		t.Errorf("%s, %v", body, err)
	}
	server.Client().CloseIdleConnections()
}

func TestWrongChecks(t *testing.T) {
	for name, declare := range map[string]func(){
		"no name":     func() { health.Check("", "", func(context.Context) error { return nil }) },
		"no function": func() { health.Check("database", "", nil) },
		"no timeout":  func() { health.Timeout(0) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			declare()
		})
	}
}

// serve answers a request whose context is ctx.
func serve(ctx context.Context, h http.Handler) {
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/health", nil))
}

// A check that ends its goroutine has not passed.
func TestCheckThatDoesNotReturn(t *testing.T) {
	h := health.Handler(says(well), quiet, health.Check("db", "", func(context.Context) error { runtime.Goexit(); return nil }, health.Live))
	for _, path := range []string{"/health", "/health/ready", "/health/live"} {
		if code, body := get(h, path); code != http.StatusServiceUnavailable || !strings.Contains(body, `"error":"failed"`) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}
