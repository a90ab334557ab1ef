package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	saslplain "github.com/segmentio/kafka-go/sasl/plain"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

func TestConfigValidate(t *testing.T) {
	brokers := []string{"localhost:9092"}
	token := func(context.Context) (Token, error) { return Token{}, nil }
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		cfg  Config
		says []string // none: valid
	}{
		{"minimal", Config{Brokers: brokers}, nil},
		{"ipv6", Config{Brokers: []string{"[::1]:9092", "broker.example:9093"}}, nil},
		{"everything", Config{Brokers: brokers, TLS: &tls.Config{}, SASL: SASL{Mechanism: "PLAIN", Username: "u", Password: secret.Text("p")}, Compression: "zstd", Balancer: "range"}, nil},
		{"oauth", Config{Brokers: brokers, SASL: SASL{Mechanism: "OAUTHBEARER", Token: token}}, nil},
		{"no brokers", Config{}, []string{`Brokers is empty: list at least one host:port, such as "localhost:9092"`}},
		{"no port", Config{Brokers: []string{"localhost"}}, []string{`Brokers[0] "localhost" has no port`}},
		{"url", Config{Brokers: []string{"kafka://localhost:9092"}}, []string{`Brokers[0] "kafka://localhost:9092" is a URL`}},
		{"no host", Config{Brokers: []string{":9092"}}, []string{`has no host`}},
		{"bad port", Config{Brokers: []string{"a:9092", "b:70000", "c:x"}}, []string{`Brokers[1] "b:70000" has no valid port`, `Brokers[2]`}},
		{"tls twice", Config{Brokers: brokers, TLS: &tls.Config{}, TLSFiles: TLSFiles{CA: notPEM}}, []string{"TLS and TLSFiles are both set"}},
		{"certificate without key", Config{Brokers: brokers, TLSFiles: TLSFiles{Certificate: "c.pem"}}, []string{"TLSFiles.Key is missing"}},
		{"key without certificate", Config{Brokers: brokers, TLSFiles: TLSFiles{Key: "k.pem"}}, []string{"TLSFiles.Certificate is missing"}},
		{"file missing", Config{Brokers: brokers, TLSFiles: TLSFiles{CA: "/nowhere/ca.pem"}}, []string{"/nowhere/ca.pem"}},
		{"file not PEM", Config{Brokers: brokers, TLSFiles: TLSFiles{CA: notPEM}}, []string{"holds no certificate"}},
		{"mechanism unknown", Config{Brokers: brokers, SASL: SASL{Mechanism: "GSSAPI", Username: "u", Password: secret.Text("p")}}, []string{`SASL.Mechanism "GSSAPI" is unknown: write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER`}},
		{"mechanism missing", Config{Brokers: brokers, SASL: SASL{Username: "u"}}, []string{"SASL.Mechanism is missing"}},
		{"password missing", Config{Brokers: brokers, SASL: SASL{Mechanism: "PLAIN", Username: "u"}}, []string{"SASL.Password is missing"}},
		{"token missing", Config{Brokers: brokers, SASL: SASL{Mechanism: "OAUTHBEARER", Password: secret.Text("p")}}, []string{"SASL.Token is missing", "not for OAUTHBEARER"}},
		{"token not wanted", Config{Brokers: brokers, SASL: SASL{Mechanism: "PLAIN", Username: "u", Password: secret.Text("p"), Token: token}}, []string{"SASL.Token is for OAUTHBEARER"}},
		{"two mechanisms", Config{Brokers: []string{"localhost:9092"}, SASL: SASL{Mechanism: "PLAIN", Username: "u", Password: secret.Text("p"), Custom: saslplain.Mechanism{}}},
			[]string{"SASL.Custom brings its own credentials"}},
		{"nanoseconds", Config{Brokers: brokers, RequestTimeout: 30}, []string{"RequestTimeout is 30ns: write a millisecond or more"}},
		{"several", Config{Compression: "br", Balancer: "random", DialTimeout: -1, RequestTimeout: -1, SASL: SASL{SessionLifetime: -1}},
			[]string{"Brokers is empty", `Compression "br" is unknown: write none, gzip, snappy, lz4, zstd`, `Balancer "random" is unknown: write cooperative-sticky, range, roundrobin`, "DialTimeout is negative", "RequestTimeout is negative", "SASL.SessionLifetime is negative"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.cfg.Validate()
			if (err == nil) != (test.says == nil) {
				t.Fatalf("%v, want it to say %q", err, test.says)
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%v does not say %q", err, says)
				}
			}
		})
	}
}

// TestNewInvalid: a Transport with a wrong configuration says so at each use.
func TestNewInvalid(t *testing.T) {
	tr := New(Config{})
	want := Config{}.Validate().Error()
	uses := map[string]func() error{
		"Cluster":      func() error { _, err := tr.Cluster(t.Context()); return err },
		"NewProducer":  func() error { _, err := tr.NewProducer(transport.ProducerConfig{}); return err },
		"Topics":       func() error { _, err := tr.Admin().Topics(t.Context()); return err },
		"CreateTopics": func() error { return tr.Admin().CreateTopics(t.Context()) },
		"Offsets":      func() error { _, err := tr.Admin().Offsets(t.Context(), transport.Earliest()); return err },
		"Committed":    func() error { _, err := tr.Admin().Committed(t.Context(), "g"); return err },
		"Groups":       func() error { _, err := NewAdmin(tr).Groups(t.Context()); return err },
		"Group":        func() error { _, err := NewAdmin(tr).Group(t.Context(), "g"); return err },
		"Probe":        func() error { _, err := NewAdmin(tr).Probe(t.Context()); return err },
		"ResetGroup":   func() error { return NewAdmin(tr).ResetGroup(t.Context(), "g") },
		"Transactor":   func() error { _, err := NewTransactor(t.Context(), tr, "id", TransactorConfig{}); return err },
	}
	for name, use := range uses {
		if err := use(); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestSecrets prints and logs configurations in every way, and looks for what
// must not be there.
func TestSecrets(t *testing.T) {
	sasl := SASL{Mechanism: "PLAIN", Username: "alice", Password: secret.Text("hunter2")}
	cfg := Config{Brokers: []string{"localhost:9092"}, SASL: sasl}
	token := Token{Value: secret.Text("hunter2"), Expires: time.Now()}
	var out bytes.Buffer
	for _, v := range []any{cfg, &cfg, sasl, &sasl, token, &token, struct{ Cfg Config }{cfg}, []SASL{sasl}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("config", "it", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("config", "it", v)
	}
	for _, secret := range []string{"hunter2", "68756e74657232"} {
		if i := strings.Index(out.String(), secret); i >= 0 {
			t.Errorf("the secret is printed: %.200s", out.String()[max(0, i-100):])
		}
	}
	for _, says := range []string{"alice", "PLAIN", "localhost:9092"} {
		if !strings.Contains(out.String(), says) {
			t.Errorf("%q is not printed", says)
		}
	}
}

func TestErrors(t *testing.T) {
	for code, want := range map[kerr.Error]error{
		3: transport.ErrTopicMissing, 100: transport.ErrTopicMissing, 10: transport.ErrTooLarge,
		29: transport.ErrUnauthorized, 30: transport.ErrUnauthorized, 31: transport.ErrUnauthorized, 58: transport.ErrUnauthorized,
		12: transport.ErrMetadataTooLarge, 22: transport.ErrFenced, 25: transport.ErrFenced, 47: transport.ErrFenced, 82: transport.ErrFenced, 110: transport.ErrFenced, 113: transport.ErrFenced,
		2: transport.ErrRejected, 32: transport.ErrRejected, 87: transport.ErrRejected,
	} {
		if !errors.Is(fmt.Errorf("x: %w", code), want) {
			t.Errorf("%v is not %v", code, want)
		}
	}
	for code, want := range map[kerr.Error]string{-1: "UNKNOWN_SERVER_ERROR (Kafka error -1)", 6: "NOT_LEADER_OR_FOLLOWER (Kafka error 6)", 113: "STALE_MEMBER_EPOCH (Kafka error 113)", 999: "ERROR_999 (Kafka error 999)"} {
		if code.Error() != want {
			t.Errorf("%d is %q, want %q", int(code), code.Error(), want)
		}
	}
	for err, want := range map[error]bool{
		kerr.Error(3): true, kerr.Error(5): true, kerr.Error(6): true, kerr.Error(8): true, kerr.Error(9): true, kerr.Error(14): true, kerr.Error(51): true, kerr.Error(19): true,
		kerr.Error(10): false, kerr.Error(29): false, kerr.Error(45): false, kerr.Error(87): false,
		os.ErrDeadlineExceeded: true, context.Canceled: false, context.DeadlineExceeded: false,
		cluster.ErrClosed: false, nil: false,
		&kerr.ConnectError{What: "x", Err: kerr.SaslAuthenticationFailed}: false, &kerr.ConnectError{What: "x", Err: os.ErrDeadlineExceeded}: true,
	} {
		if kerr.Retriable(err) != want {
			t.Errorf("retriable(%v) is not %v", err, want)
		}
	}
}

// TestTransportHasNothingToPrint: however a Transport is printed, by itself or in
// a user's struct, no password shows.
func TestTransportHasNothingToPrint(t *testing.T) {
	tr := New(Config{Brokers: []string{"localhost:9092"}, SASL: SASL{Mechanism: "PLAIN", Username: "u", Password: secret.Text("hunter2")}})
	defer func() { _ = tr.Close(context.Background()) }()
	holder := struct {
		tr *Transport
		Tr *Transport
	}{tr, tr}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("started", "transport", tr, "holder", holder)
	text := logged.String()
	for _, v := range []any{tr, *tr, holder, &holder, []any{tr}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			text += fmt.Sprintf(verb, v)
		}
		if b, err := json.Marshal(v); err == nil {
			text += string(b)
		}
	}
	if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
		t.Error("the password is printed")
	}
}
