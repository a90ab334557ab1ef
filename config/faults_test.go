package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/config"
)

// hidden stands in every place where a value must not be shown.
const hidden = "hunter2"

func TestFaults(t *testing.T) {
	const sound = `{"ConnectionStrings": {"Messaging": "localhost:9092"}, "EventBus": {"Service": "sales-api", "Environment": "Development"}}`
	for _, c := range []struct {
		name  string
		file  string // beside appsettings.json, which is sound
		text  string
		vars  []string
		wants []string // the faults' texts, in order; each is a part of one
	}{
		{name: "no file at all", vars: []string{"EventBus__Service="},
			wants: []string{"the service has no name: set EventBus:Service in a file, EventBus__Service or OTEL_SERVICE_NAME"}},
		{name: "unknown key", vars: []string{"EventBus__DrianTimeout=" + hidden},
			wants: []string{`"EventBus__DrianTimeout" in the environment is not a setting: did you mean EventBus:DrainTimeout?`}},
		{name: "unknown key in a file", file: "eventbus.yaml", text: "EventBus: {Sasl: {Pasword: " + hidden + "}}",
			wants: []string{`"EventBus:Sasl:Pasword" in FILE is not a setting: did you mean EventBus:Sasl:Password?`}},
		{name: "key in the wrong section", vars: []string{"EventBus__CaFile=x"},
			wants: []string{"did you mean EventBus:Tls:CaFile?"}},
		{name: "unlike any key", vars: []string{"EventBus__Quux__Zzzzzzzzz=" + hidden},
			wants: []string{"the documentation of package config lists them"}},
		{name: "no section", file: "eventbus.yaml", text: "EventBus: " + hidden,
			wants: []string{"EventBus in FILE is a value, and should be a section"}},
		{name: "duration", vars: []string{"EventBus__DrainTimeout=30", "EventBus__StuckAfter=25:00:00", "EventBus__CommitInterval=-1s"},
			wants: []string{
				`EventBus__CommitInterval in the environment: "-1s" is not a duration`,
				`EventBus__DrainTimeout in the environment: "30" is not a duration: write 30s or 00:00:30`,
				`EventBus__StuckAfter in the environment: "25:00:00" is not a duration`,
			}},
		{name: "numbers", file: "eventbus.yaml", text: "EventBus: {FetchBytes: 1.5, AutoProvision: 1, DrainTimeout: 30, Bounds: {Records: [1]}, Handling: {Concurrency: 0}, PublishBreaker: {Ratio: 2}}",
			wants: []string{"AutoProvision in FILE: this is neither true nor false", "FetchBytes in FILE: this is not a count", "DrainTimeout in FILE: this is not a duration",
				"Bounds:Records in FILE: this is not a count", "Ratio in FILE: this is not a ratio", "Handling:Concurrency in FILE: this is not a count"}},
		{name: "waits and limits", file: "eventbus.yaml", text: "EventBus: {Handling: {BatchWait: 2m, Retry: {Wait: \"1s, 5\"}, RateLimit: {Burst: 3}}}",
			wants: []string{"Handling:BatchWait in FILE: this is more than a batch may wait: write up to 1m",
				"Handling:RateLimit:Burst in FILE: this is set without a rate: write Handling:RateLimit:PerSecond too",
				`Handling:Retry:Wait in FILE: "1s, 5" is not a list of durations: write 1s or 1s, 5s, 30s`}},
		{name: "a rate that is none", vars: []string{"EventBus__Handling__RateLimit__PerSecond=NaN", "EventBus__Handling__RateLimit__Burst=2"},
			wants: []string{"RateLimit__PerSecond in the environment: \"NaN\" is not a rate"}},
		{name: "two kinds of waits", vars: []string{"EventBus__Handling__Retry__Wait=1s", "EventBus__Handling__Retry__Initial=2s"},
			wants: []string{"Retry__Wait in the environment: this is set beside Initial, Max or Multiplier"}},
		{name: "text that is none", file: "eventbus.yaml", text: "EventBus: {Rack: 017, Sasl: {Mechanism: PLAIN, Username: u, Password: 0123}}",
			wants: []string{"EventBus:Sasl:Password in FILE is a number: write it in quotes", "EventBus:Rack in FILE is a number"}},
		{name: "log level", vars: []string{"Logging__LogLevel__EventBus=Loud"},
			wants: []string{`Logging__LogLevel__EventBus in the environment: "Loud" is not a log level`}},
		{name: "one key twice", vars: []string{"EventBus__Source=a", "EVENTBUS__SOURCE=b"},
			wants: []string{"EVENTBUS__SOURCE and EventBus__Source are one key with two values in the environment"}},
		{name: "one section twice in a file", file: "appsettings.Development.json", text: `{"x": [{"y": 1}, {"y": 2}], "EventBus": {"Sasl": {"Password": "` + hidden + `"}}, /* , */ "EventBus": {"Name": "b"},}`,
			wants: []string{"FILE: EventBus is there twice"}},
		{name: "one key twice in a section", file: "appsettings.Development.json", text: `{"EventBus": {"Sasl": {"Password": "` + hidden + `", "Password": ""}}}`,
			wants: []string{"FILE: EventBus:Sasl:Password is there twice"}},
		{name: "one key twice in a file", file: "eventbus.yaml", text: "EventBus: {source: a, Source: b}",
			wants: []string{"EventBus:Source and EventBus:source are one key"}},
		{name: "credentials in the connection string", vars: []string{"ConnectionStrings__Messaging=a:1,user:" + hidden + "@b:2", "EventBus__Sasl__Username=u"},
			wants: []string{"ConnectionStrings__Messaging in the environment: part 2 of 2 is not host:port", "SASL.Mechanism is missing"}},
		{name: "key and value in the connection string", vars: []string{"ConnectionStrings__Messaging=b:2;Password=" + hidden},
			wants: []string{"part 1 of 1 is not host:port: write brokers such as localhost:9092, separated by commas (credentials belong in EventBus:Sasl, TLS in EventBus:Tls)"}},
		{name: "connection string of another kind", file: "eventbus.yaml", text: "ConnectionStrings: {Messaging: [a:1, b:2]}",
			wants: []string{"ConnectionStrings:Messaging in FILE is a list"}},
		{name: "kafka's own faults", vars: []string{"EventBus__Compression=rar", "EventBus__Tls__CaFile=none.pem"},
			wants: []string{`Compression "rar" is unknown`}},
		{name: "an admin handler open to others", vars: []string{"EventBus__Admin__Address=0.0.0.0:8081"},
			wants: []string{"EventBus__Admin__Address in the environment: admin: 0.0.0.0:8081 is open to other machines and there is no token"}},
		{name: "the bus's own faults", vars: []string{"EventBus__SessionTimeout=6s", "EventBus__HeartbeatInterval=5s", "EventBus__Service=sales.api"},
			wants: []string{`Service "sales.api" has a dot`, "HeartbeatInterval is 5s"}},
		{name: "TLS on and off", vars: []string{"EventBus__Tls__Enabled=false", "EventBus__Tls__ServerName=x"},
			wants: []string{"EventBus__Tls__Enabled in the environment is false, and other keys of EventBus:Tls are set"}},
		{name: "two passwords", vars: []string{"EventBus__Sasl__Mechanism=PLAIN", "EventBus__Sasl__Username=u", "EventBus__Sasl__Password=" + hidden, "EventBus__Sasl__PasswordFile=testdata/password"},
			wants: []string{"EventBus:Sasl:Password and EventBus:Sasl:PasswordFile are both set"}},
		{name: "no password file", vars: []string{"EventBus__Sasl__Mechanism=PLAIN", "EventBus__Sasl__Username=u", "EventBus__Sasl__PasswordFile=testdata/none"},
			wants: []string{"EventBus__Sasl__PasswordFile in the environment: open testdata/none"}},
		{name: "broken YAML", file: "eventbus.yaml", text: "EventBus:\n  Sasl: {Password: *" + hidden + "}\n",
			wants: []string{"FILE: unknown anchor …"}},
		{name: "mistyped YAML", file: "eventbus.yaml", text: "EventBus:\n  Sasl: {Password: !!float " + hidden + "}\n",
			wants: []string{"FILE: cannot decode !!str … as a !!float"}},
		{name: "a value for a file", file: "eventbus.yaml", text: hidden,
			wants: []string{"FILE: the file holds a single value"}},
		{name: "broken JSON", file: "appsettings.Development.json", text: "{\n  // comment\n  \"EventBus\": {\"Service\" 5}\n}",
			wants: []string{"FILE: line 3, column 26: invalid character '5' after object key"}},
		{name: "a value for a JSON file", file: "appsettings.Development.json", text: `"` + hidden + `"`,
			wants: []string{"FILE: the file holds a single value"}},
		{name: "named file missing", vars: []string{"EVENTBUS_CONFIG=testdata/none.yaml", "EventBus__Service=s", "ENVIRONMENT=Test"},
			wants: []string{"can't read a configuration file: open testdata/none.yaml", "Kafka connection string 'Messaging' not found"}},
		{name: "file of another kind", vars: []string{"EVENTBUS_CONFIG=testdata/password", "EventBus__Service=s", "ENVIRONMENT=Test", "ConnectionStrings__Messaging=a:1"},
			wants: []string{"testdata/password: a configuration file's name ends in .json, .yaml or .yml"}},
		{name: "everything at once", vars: []string{"ConnectionStrings__Messaging=", "EventBus__Environment=", "EventBus__Service=a.b", "EventBus__Rak=x", "EventBus__Balancer=none", "EventBus__Bounds__Bytes=x", "EventBus__Sasl__Password=" + hidden},
			wants: []string{`"x" is not a count`, "the environment has no name", `Service "a.b" has a dot`, "did you mean EventBus:Rack?", "Kafka connection string 'Messaging' not found", "kafka: invalid kafka.Config:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := []string{"appsettings.json", sound}
			if c.file != "" {
				files = append(files, c.file, c.text)
			}
			dir := directory(t, files...)
			got, err := config.Load(config.Directory(dir), config.Environ(c.vars...))
			var all *config.Error
			if !errors.As(err, &all) {
				t.Fatalf("the error is %v, and the configuration %v", err, got)
			}
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("the error shows the secret: %v", err)
			}
			faults := all.Unwrap()
			if len(faults) != len(c.wants) {
				t.Fatalf("%d faults, want %d: %v", len(faults), len(c.wants), err)
			}
			for i, want := range c.wants {
				if text := strings.ReplaceAll(faults[i].Error(), dir+"/"+c.file, "FILE"); !strings.Contains(text, want) {
					t.Errorf("fault %d is\n%s\nwant\n%s", i, text, want)
				}
			}
		})
	}
}

func TestNoConnectionString(t *testing.T) {
	dir := directory(t, "appsettings.json", `{"ConnectionStrings": {"Kafka": "`+hidden+`:9092", "Messaging": ""}}`)
	_, err := config.Load(config.Directory(dir), config.Environ("EventBus__Service=sales-api", "ASPNETCORE_ENVIRONMENT=Production"))
	want := "config: Kafka connection string 'Messaging' not found in configuration: looked for ConnectionStrings__Messaging in the environment, " +
		"ConnectionStrings:Messaging in DIR/appsettings.json, ConnectionStrings:Messaging in DIR/appsettings.Production.json (no such file), " +
		"ConnectionStrings:Messaging in DIR/eventbus.yaml (no such file); ConnectionStrings:Messaging in DIR/appsettings.json is empty; " +
		"there is ConnectionStrings:Kafka in DIR/appsettings.json"
	if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var all *config.Error
	if !errors.As(err, &all) || len(all.Bus) != 0 {
		t.Errorf("a bus without a cluster has nothing to complain of, and does: %v", all.Bus)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h2m": 62 * time.Minute, "00:00:30": 30 * time.Second, "1.02:03:04.5": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond,
		"0:00:00.0010001": 1000100 * time.Nanosecond, "23:59:59": 24*time.Hour - time.Second,
		"24:00:00": 0, "00:60:00": 0, "00:00:60": 0, "00:30": 0, "30": 0, "00:00:00": 0, "0s": 0, "x": 0, "-00:00:01": 0, "99999.00:00:00": 99999 * 24 * time.Hour,
	} {
		got, err := load(t, "EventBus__DrainTimeout="+text)
		if got.Bus.DrainTimeout != want || (err == nil) != (want != 0) {
			t.Errorf("%s: %v, error %v, want %v", text, got.Bus.DrainTimeout, err, want)
		}
	}
}
