package kafka

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

// certificate makes a self-signed certificate for localhost, writes it as PEM
// files, and returns it.
func certificate(t *testing.T, dir, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file, kind string, b []byte) {
		block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})
		if err := os.WriteFile(filepath.Join(dir, file), block, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(name+".pem", "CERTIFICATE", der)
	write(name+".key", "PRIVATE KEY", secret)
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// secured starts a broker and returns its address.
func secured(t *testing.T, opts ...kfake.Opt) []string {
	t.Helper()
	k, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(1, "events"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k.ListenAddrs()
}

// use asks the cluster who it is, and writes a record.
func use(t *testing.T, cfg Config) error {
	t.Helper()
	cfg.DialTimeout = 2 * time.Second
	tr := New(cfg)
	defer func() { _ = tr.Close(context.Background()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := tr.Cluster(ctx); err != nil {
		return err
	}
	p, err := tr.NewProducer(transport.ProducerConfig{DeliveryTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close(ctx) }()
	done := make(bed.Receipt, 1)
	if err := p.Produce(ctx, &transport.Record{Topic: "events"}, done); err != nil {
		return err
	}
	return <-done
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	server, client := certificate(t, dir, "server"), certificate(t, dir, "client")
	clients := x509.NewCertPool()
	clients.AddCert(client.Leaf)
	file := func(name string) string { return filepath.Join(dir, name) }
	plain := &tls.Config{Certificates: []tls.Certificate{server}}
	mutual := &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	known := x509.NewCertPool()
	known.AddCert(server.Leaf)
	for _, test := range []struct {
		name   string
		broker *tls.Config
		cfg    Config
		says   string // empty: it works
	}{
		{"given", plain, Config{TLS: &tls.Config{RootCAs: known}}, ""},
		{"files", plain, Config{TLSFiles: TLSFiles{CA: file("server.pem")}}, ""},
		{"client certificate", mutual, Config{TLSFiles: TLSFiles{CA: file("server.pem"), Certificate: file("client.pem"), Key: file("client.key")}}, ""},
		{"no client certificate", mutual, Config{TLSFiles: TLSFiles{CA: file("server.pem")}}, "certificate"},
		{"unknown authority", plain, Config{TLSFiles: TLSFiles{CA: file("client.pem")}}, "TLS handshake"},
		{"other name", plain, Config{TLSFiles: TLSFiles{CA: file("server.pem"), ServerName: "elsewhere"}}, "elsewhere"},
		{"no TLS", plain, Config{}, "no connection"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.cfg.Brokers = secured(t, kfake.TLS(test.broker))
			err := use(t, test.cfg)
			if test.says == "" {
				if err != nil {
					t.Errorf("it does not work: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), test.cfg.Brokers[0]) {
				t.Errorf("%v, want it to say %q and the broker's address", err, test.says)
			}
		})
	}
}

// TestTLSFilesRenewed: a certificate that was replaced is used for the next
// connection.
func TestTLSFilesRenewed(t *testing.T) {
	dir := t.TempDir()
	server := certificate(t, dir, "server")
	brokers := secured(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{server}}))
	certificate(t, dir, "other")
	ca := filepath.Join(dir, "ca.pem")
	install := func(name string) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(ca, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install("other.pem")
	tr := New(Config{Brokers: brokers, TLSFiles: TLSFiles{CA: ca}})
	defer func() { _ = tr.Close(context.Background()) }()
	if _, err := tr.Cluster(t.Context()); err == nil {
		t.Fatal("the broker's certificate is accepted though its authority is unknown")
	}
	install("server.pem")
	if _, err := tr.Cluster(t.Context()); err != nil {
		t.Errorf("after the file was replaced: %v", err)
	}
}

func TestSASL(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			brokers := secured(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "alice", "hunter2"))
			if err := use(t, Config{Brokers: brokers, SASL: SASL{Mechanism: mechanism, Username: "alice", Password: secret.Text("hunter2")}}); err != nil {
				t.Errorf("with the right password: %v", err)
			}
			begun := time.Now()
			err := use(t, Config{Brokers: brokers, SASL: SASL{Mechanism: mechanism, Username: "alice", Password: secret.Text("hunter3")}})
			if err == nil || strings.Contains(err.Error(), "hunter3") || !strings.Contains(err.Error(), brokers[0]) {
				t.Errorf("with a wrong password: %v, want an error that names the broker and not the password", err)
			}
			if !errors.Is(err, transport.ErrUnauthorized) && !strings.Contains(err.Error(), "credentials right") {
				t.Errorf("with a wrong password: %v, want it to speak of credentials", err)
			}
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestPasswordFileReplaced: the password is read for each connection, so a new one is
// used without a restart.
func TestPasswordFileReplaced(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "password")
			write := func(password string) {
				if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("hunter3")
			brokers := secured(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "alice", "hunter2"))
			tr := New(Config{Brokers: brokers, SASL: SASL{Mechanism: mechanism, Username: "alice", Password: secret.File(path)}})
			defer func() { _ = tr.Close(context.Background()) }()
			if _, err := tr.Cluster(t.Context()); err == nil {
				t.Fatal("a wrong password is let in")
			}
			write("hunter2")
			if _, err := tr.Cluster(t.Context()); err != nil {
				t.Errorf("after the file was replaced: %v", err)
			}
		})
	}
}

// TestSetUpSaysWhatIsExpected: a listener that expects something else than the client
// speaks is recognised, and the error says what to set, once.
func TestSetUpSaysWhatIsExpected(t *testing.T) {
	dir := t.TempDir()
	server := certificate(t, dir, "server")
	ca := TLSFiles{CA: filepath.Join(dir, "server.pem")}
	secure := kfake.TLS(&tls.Config{Certificates: []tls.Certificate{server}})
	alice := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "alice", "hunter2")}
	for _, test := range []struct {
		name string
		opts []kfake.Opt
		cfg  Config
		says []string
	}{
		{"no SASL", alice, Config{}, []string{"probably expects SASL. Set SASL"}},
		{"TLS and no SASL", append(alice, secure), Config{TLSFiles: ca}, []string{"probably expects SASL. Set SASL"}},
		{"TLS to a plain listener", nil, Config{TLSFiles: ca}, []string{"TLS handshake", "without TLS?"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.cfg.Brokers = secured(t, test.opts...)
			err := use(t, test.cfg)
			if err == nil {
				t.Fatal("it works")
			}
			for _, says := range append(test.says, test.cfg.Brokers[0]) {
				if n := strings.Count(err.Error(), says); n == 0 || n > 1 && says != test.cfg.Brokers[0] {
					t.Errorf("%v\nwant it to say %q once, not %d times", err, says, n)
				}
			}
		})
	}
}

// TestMisconfiguredTLSIsFinal: a record for a cluster whose certificate is refused is
// refused at once, and does not wait for the certificate to change.
func TestMisconfiguredTLSIsFinal(t *testing.T) {
	dir := t.TempDir()
	server := certificate(t, dir, "server")
	certificate(t, dir, "other")
	tr := New(Config{
		Brokers:  secured(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{server}})),
		TLSFiles: TLSFiles{CA: filepath.Join(dir, "other.pem")},
	})
	defer func() { _ = tr.Close(context.Background()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p, err := tr.NewProducer(transport.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close(ctx) }()
	err = p.Produce(ctx, &transport.Record{Topic: "events"}, nil)
	if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("Produce: %v, want the reason before its context ends", err)
	}
	_, err = tr.Admin().Topics(ctx, "events")
	if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("Topics: %v, want the reason before its context ends", err)
	}
}

// TestScramBounds has a server ask for more work than any broker does, in place
// of the first message that Kafka sends.
func TestScramBounds(t *testing.T) {
	m := scramMechanism{SASL{Mechanism: "SCRAM-SHA-512", Username: "alice", Password: secret.Text("hunter2")}}
	for _, count := range []string{"2147483647", "99999999999999999999", "4096x"} {
		session, first, err := m.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, nonce, _ := bytes.Cut(first, []byte(",r="))
		_, _, err = session.Next(t.Context(), fmt.Appendf(nil, "r=%sserver,s=c2FsdA==,i=%s", nonce, count))
		if err == nil || !strings.Contains(err.Error(), "iterations") {
			t.Errorf("%s iterations: %v, want them refused", count, err)
		}
	}
}

func TestOAuthBearer(t *testing.T) {
	o := &oauthBearer{token: func(context.Context) (Token, error) {
		return Token{Value: secret.Text("abc"), Expires: time.Unix(1e9, 0), Extensions: map[string]string{"b": "2", "a": "1"}}, nil
	}}
	_, first, err := o.Start(t.Context())
	if want := "n,,\x01auth=Bearer abc\x01a=1\x01b=2\x01\x01"; err != nil || string(first) != want {
		t.Errorf("%q, %v, want %q", first, err, want)
	}
	if !o.expires().Equal(time.Unix(1e9, 0)) {
		t.Errorf("the token expires at %v", o.expires())
	}
	if done, _, err := o.Next(t.Context(), nil); !done || err != nil {
		t.Errorf("accepted: %v, %v", done, err)
	}
	if _, _, err := o.Next(t.Context(), []byte(`{"status":"invalid_token"}`)); !errors.Is(err, transport.ErrUnauthorized) || !strings.Contains(err.Error(), "invalid_token") {
		t.Errorf("refused: %v", err)
	}
	for name, bad := range map[string]Token{"empty": {}, "malformed": {Value: secret.Text("a\x01b")}, "auth": {Value: secret.Text("a"), Extensions: map[string]string{"auth": "x"}}} {
		o.token = func(context.Context) (Token, error) { return bad, nil }
		if _, _, err := o.Start(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	o.token = func(context.Context) (Token, error) { return Token{}, context.Canceled }
	if _, _, err := o.Start(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("no token: %v", err)
	}
}

// TestSessionEnd: connections are replaced before the broker ends their session.
func TestSessionEnd(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name     string
		lifetime time.Duration
		token    time.Duration // until it expires; 0: no OAUTHBEARER
		want     time.Duration // 0: never
	}{
		{"never", 0, 0, 0},
		{"configured", time.Hour, 0, 51 * time.Minute},
		{"token", 0, 100 * time.Second, 85 * time.Second},
		{"token first", time.Hour, 100 * time.Second, 85 * time.Second},
		{"session first", 10 * time.Second, 100 * time.Second, 8500 * time.Millisecond},
		{"token expired", time.Hour, -time.Second, 51 * time.Minute},
	} {
		var oauth *oauthBearer
		if test.token != 0 {
			oauth = &oauthBearer{}
			oauth.expiry.Store(now.Add(test.token).UnixNano())
		}
		got := SASL{SessionLifetime: test.lifetime}.sessionEnd(oauth, now)
		if test.want == 0 && !got.IsZero() || test.want != 0 && got.Sub(now).Round(time.Millisecond) != test.want {
			t.Errorf("%s: %v, want %v from now", test.name, got.Sub(now), test.want)
		}
	}
}
