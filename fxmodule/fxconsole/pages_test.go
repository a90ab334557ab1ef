package fxconsole_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/fxmodule/fxconsole"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPages are served beside the admin handler's JSON, and end with it while a
// browser follows one.
func TestPages(t *testing.T) {
	var admin *fxmodule.AdminEndpoint
	app := fxtest.New(t,
		fx.NopLogger,
		fxmodule.Module,
		fx.Supply(eventbus.Config{Service: "mailer", Environment: "Test", Logger: slog.New(slog.DiscardHandler)}),
		fx.Decorate(func() transport.Transport { return memory.New() }),
		fxmodule.AdminServer("127.0.0.1:0"), fxconsole.Pages(),
		fx.Populate(&admin),
	)
	app.RequireStart()
	defer http.DefaultClient.CloseIdleConnections()
	base := "http://" + admin.Addr().String()
	for path, want := range map[string]string{
		"/console/": "<h1>", "/console/keys": "No key waits", "/console/static/console.css": "color-scheme", "/groups": `"service":"mailer"`, "/catalog": `"topics"`,
	} {
		status, body := get(t, base+path, "")
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s, want %s", path, status, body, want)
		}
	}
	if status, body := get(t, base+"/", "text/html"); status != http.StatusOK || !strings.Contains(body, "mailer") {
		t.Errorf("a browser at the root gets %d %.200s", status, body)
	}
	if status, _ := get(t, base+"/", ""); status != http.StatusNotFound {
		t.Errorf("a program at the root gets %d", status)
	}
	stream, err := http.Get(base + "/console/live/now")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	app.RequireStop()
	if all, _ := io.ReadAll(stream.Body); !strings.Contains(string(all), "event: fragment") {
		t.Errorf("the stream was %.200q", all)
	}
}

// TestPagesLog: orders and logins are in the log of the container, of whichever kind it is.
func TestPagesLog(t *testing.T) {
	core, logged := observer.New(zap.InfoLevel)
	var admin *fxmodule.AdminEndpoint
	app := fxtest.New(t,
		fx.NopLogger,
		fxmodule.Module,
		fx.Supply(eventbus.Config{Service: "mailer", Environment: "Test"}, zap.New(core)),
		fx.Decorate(func() transport.Transport { return memory.New() }),
		fxmodule.AdminServer("127.0.0.1:0"),
		fxconsole.Pages(func(c *console.Config) {
			c.Tokens = []console.Token{{Name: "alice", Value: secret.Text("hunter2")}}
		}),
		fx.Populate(&admin),
	)
	app.RequireStart()
	defer app.RequireStop()
	defer http.DefaultClient.CloseIdleConnections()
	answer, err := http.PostForm("http://"+admin.Addr().String()+"/console/login", url.Values{"token": {"wrong"}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if logged.FilterMessage("console: login refused").Len() != 1 {
		t.Errorf("the log has %v", logged.All())
	}
}

func get(t *testing.T, address, accept string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}
