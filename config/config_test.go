package config_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

// directory makes a directory with files, given as names and contents in turn.
func directory(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	base := `{"ConnectionStrings": {"Messaging": "file:9092"}, "EventBus": {"Service": "sales-api", "Environment": "Development"}}`
	for _, c := range []struct {
		name    string
		files   []string
		environ []string
		options []config.Option
		brokers string
		service string
		env     string
	}{
		{name: "file", files: []string{"appsettings.json", base},
			brokers: "file:9092", service: "sales-api", env: "Development"},
		{name: "environment alone",
			environ: []string{"ConnectionStrings__Messaging=a:1,b:2", "EventBus__Service=s", "EventBus__Environment=Test"},
			brokers: "a:1 b:2", service: "s", env: "Test"},
		{name: "environment over file", files: []string{"appsettings.json", base},
			environ: []string{"ConnectionStrings__Messaging=env:9092"},
			brokers: "env:9092", service: "sales-api", env: "Development"},
		{name: "case of letters", files: []string{"appsettings.json", strings.ToLower(base)},
			environ: []string{"CONNECTIONSTRINGS__MESSAGING=env:9092", "eventbus__SERVICE=Mailer"},
			brokers: "env:9092", service: "Mailer", env: "development"},
		{name: "spaces around commas, and in their place", files: []string{"appsettings.json", base},
			environ: []string{"ConnectionStrings__Messaging= a:1 , b:2 c:3,,[::1]:4\t[fe80::1%eth0]:9092"},
			brokers: "a:1 b:2 c:3 [::1]:4 [fe80::1%eth0]:9092", service: "sales-api", env: "Development"},
		{name: "file of the environment", files: []string{"appsettings.json", base,
			"appsettings.Staging.json", `{"ConnectionStrings": {"Messaging": "staging:9092"}}`},
			environ: []string{"EventBus__Environment=Staging"},
			brokers: "staging:9092", service: "sales-api", env: "Staging"},
		{name: "file of the host's environment", files: []string{"appsettings.json", `{"EventBus:Service": "s", "ConnectionStrings:Messaging": "a:1"}`,
			"appsettings.Production.json", `{"ConnectionStrings": {"Messaging": "prod:9092"}}`},
			environ: []string{"ASPNETCORE_ENVIRONMENT=Development", "DOTNET_ENVIRONMENT=Production"},
			brokers: "prod:9092", service: "s", env: "Production"},
		{name: "the section's environment over the host's", files: []string{"appsettings.json", base},
			environ: []string{"DOTNET_ENVIRONMENT=Production"},
			brokers: "file:9092", service: "sales-api", env: "Development"},
		{name: "YAML over JSON", files: []string{"appsettings.json", base,
			"eventbus.yaml", "ConnectionStrings:\n  Messaging: yaml:9092\nEventBus: {Service: mailer}\n"},
			brokers: "yaml:9092", service: "mailer", env: "Development"},
		{name: "EVENTBUS_CONFIG", environ: []string{"EVENTBUS_CONFIG=testdata/mailer.yaml" + string(os.PathListSeparator) + "testdata/over.json"},
			brokers: "over:9092", service: "mailer", env: "Test"},
		{name: "named files", options: []config.Option{config.Files("testdata/mailer.yaml")}, environ: []string{"EVENTBUS_CONFIG=none.json"},
			brokers: "kafka-1:9092 kafka-2:9092", service: "mailer", env: "Test"},
		{name: ".NET's JSON", files: []string{"appsettings.json", "\ufeff" + `{
			// "Messaging": "commented:9092"
			"ConnectionStrings": {"Messaging": "dotnet:9092", /* not "this, */ }, // "{"
			"EventBus": {"Service": "a//b\",", "Environment": "Development",},
		}`}, environ: []string{"EventBus__Service=s"},
			brokers: "dotnet:9092", service: "s", env: "Development"},
		{name: "OTEL_SERVICE_NAME", environ: []string{"ConnectionStrings__Messaging=a:1", "ENVIRONMENT=Test", "OTEL_SERVICE_NAME=orders"},
			brokers: "a:1", service: "orders", env: "Test"},
		{name: "the program's own name", environ: []string{"ConnectionStrings__Messaging=a:1", "ENVIRONMENT=Test", "OTEL_SERVICE_NAME=orders"},
			options: []config.Option{config.Service("board")},
			brokers: "a:1", service: "board", env: "Test"},
		{name: "another cluster", environ: []string{"ConnectionStrings__Orders=o:1", "Orders__Service=s", "Orders__Environment=Test", "EventBus__Quux=x"},
			options: []config.Option{config.Connection("Orders"), config.Section("Orders")},
			brokers: "o:1", service: "s", env: "Test"},
		{name: "empty hides", files: []string{"appsettings.json", base}, environ: []string{"EventBus__Service=", "OTEL_SERVICE_NAME=other"},
			brokers: "file:9092", service: "other", env: "Development"},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := append([]config.Option{config.Directory(directory(t, c.files...)), config.Environ(c.environ...)}, c.options...)
			got, err := config.Load(options...)
			if err != nil {
				t.Fatal(err)
			}
			if brokers := strings.Join(got.Kafka.Brokers, " "); brokers != c.brokers || got.Bus.Service != c.service || got.Bus.Environment != c.env {
				t.Errorf("got brokers %s, service %s, environment %s; want %s, %s, %s", brokers, got.Bus.Service, got.Bus.Environment, c.brokers, c.service, c.env)
			}
			if got.Kafka.ClientID != c.service {
				t.Errorf("ClientID is %q, want the service's name", got.Kafka.ClientID)
			}
		})
	}
}

// TestLoadEverySetting reads a file that sets each setting to something that no
// other has, and compares the whole.
func TestLoadEverySetting(t *testing.T) {
	got, err := config.Load(config.Files("testdata/every.yaml"), config.Environ())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.Bus.Handling); n != 9 {
		t.Errorf("Handling has %d options, want 9", n)
	}
	got.Bus.Handling = nil
	want := eventbus.Config{
		Service: "sales-api", Environment: "Staging", Source: "urn:momentum:sales-api", Name: "main",
		AutoProvision: eventbus.ProvisionNever, StartDegraded: true, Structured: true,
		InstanceID: "sales-1", SessionTimeout: 31 * time.Second, HeartbeatInterval: 2 * time.Second, RebalanceTimeout: 61 * time.Second,
		FetchBytes: 1 << 20, CommitInterval: 500 * time.Millisecond, DrainTimeout: 25 * time.Second, StuckAfter: 24*time.Hour + time.Minute, HandlerGrace: 20 * time.Minute,
		Bounds:         eventbus.Bounds{Records: 101, Bytes: 1 << 33, MinRecords: 102, ParkedKeys: 103},
		Producer:       transport.ProducerConfig{DeliveryTimeout: 105 * time.Second, BufferBytes: 106, BufferRecords: 107, BatchBytes: 108, RequestBytes: 109},
		PublishBreaker: resilience.BreakerConfig{Disabled: true, Ratio: 0.25, MinKeys: 110, MinAttempts: 114, Window: 111 * time.Second, After: 115 * time.Second, OpenFor: 112 * time.Second, Probes: 113},
	}
	if !reflect.DeepEqual(got.Bus, want) {
		t.Errorf("got  %+v\nwant %+v", got.Bus, want)
	}
	if reveal(t, got.Kafka.SASL.Password) != "s3cret" || got.Kafka.SASL.Username != "sales" || got.Kafka.SASL.Mechanism != "SCRAM-SHA-512" || got.Kafka.SASL.SessionLifetime != time.Hour {
		t.Error("SASL is not as configured")
	}
	got.Kafka.SASL = kafka.SASL{}
	cluster := kafka.Config{
		Brokers: []string{"a:9092"}, ClientID: "sales", TLSFiles: kafka.TLSFiles{ServerName: "kafka.internal"},
		Compression: "zstd", DialTimeout: 3 * time.Second, RequestTimeout: 4 * time.Second, Balancer: "range", Rack: "eu-1a", ConsumerProtocol: true,
	}
	if !reflect.DeepEqual(got.Kafka, cluster) {
		t.Errorf("got  %v\nwant %v", got.Kafka, cluster)
	}
	if got.Admin.Address != "0.0.0.0:8081" || reveal(t, got.Admin.Token) != "t0ken" {
		t.Errorf("Admin is %v", got.Admin)
	}
	if got.Health.Address != "0.0.0.0:8082" {
		t.Errorf("Health is %v", got.Health)
	}
	if got.LogLevel == nil || got.LogLevel.Level() != slog.LevelWarn {
		t.Errorf("LogLevel is %v, want WARN", got.LogLevel)
	}
}

func TestLogLevel(t *testing.T) {
	for text, want := range map[string]slog.Level{
		"Trace": -8, "Debug": -4, "Information": 0, "Warning": 4, "Error": 8, "Critical": 12, "None": 1<<63 - 1,
		"info": 0, "warn": 4, "fatal": 12, "INFO": 0,
	} {
		for _, category := range []string{"EventBus", "Default"} {
			got, err := load(t, "Logging__LogLevel__"+category+"="+text)
			if err != nil || got.LogLevel == nil || got.LogLevel.Level() != want {
				t.Errorf("%s %s: level %v, error %v, want %v", category, text, got.LogLevel, err, want)
			}
		}
	}
	if got, err := load(t); err != nil || got.LogLevel != nil {
		t.Errorf("without a setting: level %v, error %v", got.LogLevel, err)
	}
	if got, err := load(t, "Logging__LogLevel__Default=Error", "Logging__LogLevel__EventBus=Debug"); err != nil || got.LogLevel.Level() != slog.LevelDebug {
		t.Errorf("our own category and the default: level %v, error %v", got.LogLevel, err)
	}
}

// load reads a sound configuration and the variables.
func load(t *testing.T, variables ...string) (config.Config, error) {
	t.Helper()
	sound := []string{"ConnectionStrings__Messaging=localhost:9092", "EventBus__Service=sales-api", "EventBus__Environment=Development"}
	return config.Load(config.Directory(t.TempDir()), config.Environ(append(sound, variables...)...))
}

func TestSecretsStaySecret(t *testing.T) {
	got, err := load(t, "EventBus__Sasl__Mechanism=PLAIN", "EventBus__Sasl__Username=u", "EventBus__Sasl__Password=hunter2",
		"EventBus__Admin__Address=0.0.0.0:8081", "EventBus__Admin__Token=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("configured", "config", got, "kafka", got.Kafka, "admin", got.Admin)
	for _, text := range []string{fmt.Sprint(got), fmt.Sprintf("%+v", got), fmt.Sprintf("%#v", got), fmt.Sprintf("%q", &got), logged.String()} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "localhost:9092") {
			t.Errorf("printed as %s", text)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	got, err := load(t, "EventBus__Sasl__Mechanism=plain", "EventBus__Sasl__Username=u", "EventBus__Sasl__PasswordFile=testdata/password")
	if err != nil || reveal(t, got.Kafka.SASL.Password) != "from the file" {
		t.Errorf("password from a file: got it wrong, error %v", err)
	}
	got, err = load(t, "EventBus__Admin__Address=:8081", "EventBus__Admin__TokenFile=testdata/password")
	if err == nil || reveal(t, got.Admin.Token) != "from the file" || !strings.Contains(err.Error(), "visible ASCII") {
		t.Errorf("token from a file: got %v, error %v", got.Admin, err)
	}
	// {"alg":"none"}.{"exp":1700000000}.signature
	jwt := "eyJhbGciOiJub25lIn0.eyJleHAiOjE3MDAwMDAwMDB9.c2lnbmF0dXJl"
	path := filepath.Join(directory(t, "token", jwt+"\n"), "token")
	got, err = load(t, "EventBus__Sasl__Mechanism=OAuthBearer", "EventBus__Sasl__TokenFile="+path)
	if err != nil {
		t.Fatal(err)
	}
	token, err := got.Kafka.SASL.Token(t.Context())
	if err != nil || reveal(t, token.Value) != jwt || token.Expires.Unix() != 1700000000 {
		t.Errorf("token %v, error %v", token, err)
	}
	if err := os.WriteFile(path, []byte("opaque"), 0o600); err != nil {
		t.Fatal(err)
	}
	if token, err = got.Kafka.SASL.Token(t.Context()); err != nil || reveal(t, token.Value) != "opaque" || !token.Expires.IsZero() {
		t.Errorf("renewed token %v, error %v", token, err)
	}
}

// reveal returns what a secret holds.
func reveal(t *testing.T, v secret.Value) string {
	t.Helper()
	text, err := v.Reveal()
	if err != nil {
		t.Error(err)
	}
	return text
}

// TestSecretFileIsReadAgain: a password in a file is replaced while the program runs.
func TestSecretFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("first\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := load(t, "EventBus__Sasl__Mechanism=PLAIN", "EventBus__Sasl__Username=u", "EventBus__Sasl__PasswordFile="+path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text := reveal(t, got.Kafka.SASL.Password); text != "second" {
		t.Errorf("the password is %q after its file was replaced", text)
	}
}

// TestRetryWaits: waits make an option by themselves, one or several.
func TestRetryWaits(t *testing.T) {
	for _, waits := range []string{"1s", "1s, 00:00:05,30s"} {
		got, err := config.Load(config.Files(), config.Environ("ConnectionStrings__Messaging=a:1", "EventBus__Service=s", "EventBus__Environment=Test", "EventBus__Handling__Retry__Wait="+waits))
		if err != nil || len(got.Bus.Handling) != 1 {
			t.Errorf("%s: %d options, %v", waits, len(got.Bus.Handling), err)
		}
	}
}
