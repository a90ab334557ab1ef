package fxmodule_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/secret"
)

// operate sends a request to the admin endpoint, and leaves no connection behind.
func operate(t *testing.T, e *fxmodule.AdminEndpoint, method, path, body, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+e.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(said))
}

func TestAdminServer(t *testing.T) {
	var endpoint *fxmodule.AdminEndpoint
	app := start(t, testConfig, on(newCluster(t)), fxmodule.AdminServer(":0"), fx.Populate(&endpoint))
	if code, said := operate(t, endpoint, "GET", "/groups", "", ""); code != 200 || !strings.Contains(said, `"service":"billing"`) {
		t.Errorf("%d %s", code, said)
	}
	if code, said := operate(t, endpoint, "POST", "/groups/nobody/pause", `{"subscription":"x"}`, ""); code != 404 {
		t.Errorf("%d %s", code, said)
	}
	stop(t, app)
}

// configured returns a configuration with only these variables.
func configured(variables ...string) fx.Option {
	variables = append(variables, "EventBus__Service=billing", "EventBus__Environment=Test", "ConnectionStrings__Messaging=a:9092")
	return fxmodule.FromEnvironment(config.Directory("testdata/none"), config.Environ(variables...))
}

// TestAdminOption: the handler is made with what the program adds.
func TestAdminOption(t *testing.T) {
	var endpoint *fxmodule.AdminEndpoint
	app := start(t, testConfig, on(newCluster(t)), fxmodule.AdminServer(":0"), fx.Populate(&endpoint), fxmodule.AdminOption(admin.Token(secret.Text("hunter2"))))
	for token, want := range map[string]int{"": 401, "hunter2": 200} {
		if code, said := operate(t, endpoint, "GET", "/groups", "", token); code != want {
			t.Errorf("with the token %q: %d %s", token, code, said)
		}
	}
	stop(t, app)
}

// TestAdminServerConfigured takes address and token from the configuration.
func TestAdminServerConfigured(t *testing.T) {
	var endpoint *fxmodule.AdminEndpoint
	app := start(t, on(newCluster(t)), fxmodule.AdminServer(""), fx.Populate(&endpoint),
		configured("EventBus__Admin__Address=127.0.0.1:0", "EventBus__Admin__Token=hunter2"))
	for token, want := range map[string]int{"": 401, "hunter3": 401, "hunter2": 200} {
		if code, said := operate(t, endpoint, "GET", "/groups", "", token); code != want || strings.Contains(said, "hunter") {
			t.Errorf("token %q: %d %s, want %d", token, code, said, want)
		}
	}
	stop(t, app)

	app = start(t, on(newCluster(t)), fxmodule.AdminServer(""), fx.Populate(&endpoint), configured())
	if endpoint.Addr() != nil {
		t.Errorf("it listens on %v without having been told to", endpoint.Addr())
	}
	stop(t, app)
}

// TestAdminServerOpen: an address that is open to other machines without a token is
// refused.
func TestAdminServerOpen(t *testing.T) {
	for name, options := range map[string][]fx.Option{
		"by the program":       {testConfig, fxmodule.AdminServer("0.0.0.0:0")},
		"by the configuration": {fxmodule.AdminServer(""), configured("EventBus__Admin__Address=0.0.0.0:0")},
	} {
		app := fx.New(fxmodule.Module, quiet, on(newCluster(t)), fx.Options(options...))
		if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "0.0.0.0:0 is open to other machines and there is no token") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLogLevelAtRunTime changes what the bus logs, and what the program logs if its
// level is in the container.
func TestLogLevelAtRunTime(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	whole := zap.NewAtomicLevelAt(zap.InfoLevel)
	for name, c := range map[string]struct {
		options []fx.Option
		first   string
	}{
		"the bus's own":     {nil, "error"},
		"the program's too": {[]fx.Option{fx.Supply(whole)}, "info"},
	} {
		t.Run(name, func(t *testing.T) {
			var endpoint *fxmodule.AdminEndpoint
			var bus *eventbus.Bus
			cluster := newCluster(t)
			app := fx.New(fxmodule.Module, fx.NopLogger, on(cluster), fx.Supply(zap.New(core)), fx.Options(c.options...), fx.Populate(&endpoint, &bus),
				fxmodule.AdminServer(":0"), fxmodule.Subscribe(WelcomeSentTopic, (*sink).take), fx.Supply(&sink{}),
				configured("Logging__LogLevel__EventBus=Error"))
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			subscription := bus.Operator().Inspect().Groups[0].Subscriptions[0].Name
			warns := func() bool { // a pause is a warning
				t.Helper()
				before := logs.FilterLevelExact(zap.WarnLevel).Len()
				if err := bus.Operator().Pause("billing-test", subscription); err != nil {
					t.Fatal(err)
				}
				if err := bus.Operator().Resume("billing-test", subscription); err != nil {
					t.Fatal(err)
				}
				return logs.FilterLevelExact(zap.WarnLevel).Len() > before
			}
			if warns() {
				t.Error("it warns, and only errors are configured")
			}
			if code, said := operate(t, endpoint, "GET", "/log-level", "", ""); code != 200 || said != `{"level":"`+c.first+`"}` {
				t.Errorf("%d %s", code, said)
			}
			if code, said := operate(t, endpoint, "PUT", "/log-level", `{"level":"loud"}`, ""); code != 400 || !strings.Contains(said, `{"error":"`) || warns() {
				t.Errorf("%d %s", code, said)
			}
			if code, said := operate(t, endpoint, "PUT", "/log-level", `{"level":"warn"}`, ""); code != 200 || said != `{"level":"warn"}` || !warns() {
				t.Errorf("%d %s", code, said)
			}
			if len(c.options) > 0 && whole.Level() != zap.WarnLevel {
				t.Errorf("the program's level is %v", whole.Level())
			}
			stop(t, app)
		})
	}
}

type sink struct{}

func (*sink) take(context.Context, WelcomeSent) error { return nil }
