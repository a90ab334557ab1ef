package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/secret"
)

// authority issues certificates in files, for one test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca")
	return a
}

// file returns the path of a file of the authority, such as ca.pem or server.key.
func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) issue(t *testing.T, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: a.cert == nil, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for ending, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(a.file(name+ending), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// serve starts an https server whose certificate the authority issued.
func (a *authority) serve(t *testing.T, clients tls.ClientAuthType, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	own, err := tls.LoadX509KeyPair(a.file("server.pem"), a.file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	s := httptest.NewUnstartedServer(handle)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: clients, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// TestSigningIn: every way to sign in works over TLS, configured by files and the
// environment.
func TestSigningIn(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue(t, "server")
	a.issue(t, "client")
	stranger := newAuthority(t)
	stranger.issue(t, "client")
	write := func(name, content string) string {
		if err := os.WriteFile(a.file(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return a.file(name)
	}
	var granted atomic.Int32
	tokens := a.serve(t, tls.NoClientCert, func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		if granted.Add(1); name != "me" || password != "client-secret" || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "read write" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"granted-secret","token_type":"Bearer","expires_in":3600}`)
	})
	for _, c := range []struct {
		name    string
		clients tls.ClientAuthType
		change  func(*registry.Settings)
		want    string // Authorization
		fails   string // what the error says instead
	}{
		{name: "TLS", change: func(*registry.Settings) {}},
		{name: "an authority that is not known", change: func(s *registry.Settings) { s.TLS.CAFile = stranger.file("ca.pem") }, fails: "certificate"},
		{name: "no authority", change: func(s *registry.Settings) { s.TLS.CAFile = "" }, fails: "certificate"},
		{name: "another name", change: func(s *registry.Settings) { s.TLS.ServerName = "registry.example.com" }, fails: "registry.example.com"},
		{name: "mutual TLS", clients: tls.RequireAndVerifyClientCert, change: func(s *registry.Settings) {
			s.TLS.CertificateFile, s.TLS.KeyFile = a.file("client.pem"), a.file("client.key")
		}},
		{name: "no certificate", clients: tls.RequireAndVerifyClientCert, change: func(*registry.Settings) {}, fails: "certificate required"},
		{name: "a stranger's certificate", clients: tls.RequireAndVerifyClientCert, change: func(s *registry.Settings) {
			s.TLS.CertificateFile, s.TLS.KeyFile = stranger.file("client.pem"), stranger.file("client.key")
		}, fails: "can't be reached"},
		{name: "a name and a password", change: func(s *registry.Settings) { s.Username, s.Password = "u", secret.Text("secret") }, want: "Basic dTpzZWNyZXQ="},
		{name: "a password in a file", change: func(s *registry.Settings) { s.Username, s.PasswordFile = "u", write("password", "secret\n") }, want: "Basic dTpzZWNyZXQ="},
		{name: "a bearer", change: func(s *registry.Settings) { s.Token = secret.Text("bearer-secret") }, want: "Bearer bearer-secret"},
		{name: "a bearer in a file", change: func(s *registry.Settings) { s.TokenFile = write("token", "bearer-secret\n") }, want: "Bearer bearer-secret"},
		{name: "client credentials", change: func(s *registry.Settings) {
			s.ClientID, s.ClientSecretFile, s.TokenURL, s.Scopes = "me", write("client", "client-secret\n"), tokens.URL, registry.List{"read", "write"}
		}, want: "Bearer granted-secret"},
		{name: "refused client credentials", change: func(s *registry.Settings) {
			s.ClientID, s.ClientSecret, s.TokenURL = "me", secret.Text("wrong-secret"), tokens.URL
		}, fails: "no token from the authorization server: status 401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got atomic.Value
			server := a.serve(t, c.clients, func(w http.ResponseWriter, r *http.Request) {
				got.Store(r.Header.Get("Authorization"))
				fmt.Fprint(w, `["s"]`)
			})
			s := registry.Settings{URLs: registry.List{server.URL}}
			s.TLS.CAFile = a.file("ca.pem")
			c.change(&s)
			config, err := s.Config()
			if err != nil {
				t.Fatal(err)
			}
			r, err := registry.New(config)
			if err != nil {
				t.Fatal(err)
			}
			granted.Store(0)
			for range 3 {
				subjects, err := r.Subjects(t.Context())
				switch {
				case c.fails != "":
					if err == nil || !unavailable(err) || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "-secret") {
						t.Errorf("%v, want %q in it", err, c.fails)
					}
				case err != nil || len(subjects) != 1 || got.Load() != c.want:
					t.Errorf("%v, %v, Authorization %q, want %q", subjects, err, got.Load(), c.want)
				}
			}
			if text := fmt.Sprintf("%v %+v %#v %v %+v", config, config, config, s, &s); strings.Contains(text, "-secret") {
				t.Errorf("printed: %s", text)
			}
			if c.name == "client credentials" && granted.Load() != 1 {
				t.Errorf("%d tokens for three requests", granted.Load())
			}
		})
	}
}

// The authorization server can't redirect the secret to another server either.
func TestSecretsFollowNoRedirectForTokens(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		r := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) }, func(c *registry.Config) {
			c.Client = &registry.ClientCredentials{TokenURL: c.URLs[0] + "/token", ClientID: "me", ClientSecret: secret.Text("client-secret")}
		})
		if _, err := r.Subjects(t.Context()); !unavailable(err) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// TestCredentialsAreRotated: a replaced password or token is used from the next
// request, a certificate from the next connection, and a client secret from the next
// token.
func TestCredentialsAreRotated(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue(t, "server")
	write := func(content string) string {
		if err := os.WriteFile(a.file("secret"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return a.file("secret")
	}
	signs := func(s *registry.Settings) {
		a.issue(t, "client") // another case may have left half a key
		s.TLS.CertificateFile, s.TLS.KeyFile = a.file("client.pem"), a.file("client.key")
	}
	tokens := a.serve(t, tls.NoClientCert, func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		// The token expires at once, so each request needs a new one.
		fmt.Fprintf(w, `{"access_token":"for %s","token_type":"Bearer","expires_in":1}`, password)
	})
	for name, c := range map[string]struct {
		change func(s *registry.Settings)
		renew  func()
		want   []string
	}{
		"password": {
			func(s *registry.Settings) { s.Username, s.PasswordFile = "u", write("one") }, func() { write("two") },
			[]string{"Basic dTpvbmU=", "Basic dTp0d28="},
		},
		"token": {
			func(s *registry.Settings) { s.TokenFile = write("one") }, func() { write("two") },
			[]string{"Bearer one", "Bearer two"},
		},
		"client secret": {
			func(s *registry.Settings) {
				s.ClientID, s.ClientSecretFile, s.TokenURL = "me", write("one"), tokens.URL
			}, func() { write("two") },
			[]string{"Bearer for one", "Bearer for two"},
		},
		"certificate": {
			signs,
			func() { a.issue(t, "client") },
			nil, // the serial numbers differ
		},
		"half a certificate": {
			signs,
			func() {
				if err := os.Truncate(a.file("client.key"), 10); err != nil {
					t.Error(err)
				}
			},
			[]string{"", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var header, serial atomic.Value
			server := a.serve(t, tls.RequestClientCert, func(w http.ResponseWriter, r *http.Request) {
				header.Store(r.Header.Get("Authorization"))
				serial.Store("")
				if certs := r.TLS.PeerCertificates; len(certs) > 0 {
					serial.Store(certs[0].SerialNumber.String())
				}
				w.Header().Set("Connection", "close")
				fmt.Fprint(w, `["s"]`)
			})
			s := registry.Settings{URLs: registry.List{server.URL}}
			s.TLS.CAFile = a.file("ca.pem")
			c.change(&s)
			config, err := s.Config()
			if err != nil {
				t.Fatal(err)
			}
			r, err := registry.New(config)
			if err != nil {
				t.Fatal(err)
			}
			var seen, serials [2]string
			for i := range seen {
				if i == 1 {
					c.renew()
				}
				if _, err := r.Subjects(t.Context()); err != nil {
					t.Fatal(err)
				}
				seen[i], serials[i] = header.Load().(string), serial.Load().(string)
			}
			if c.want != nil && !slices.Equal(seen[:], c.want) {
				t.Errorf("signed in by %q, want %q", seen, c.want)
			}
			if renewed := serials[0] != serials[1]; renewed != (name == "certificate") {
				t.Errorf("certificates %q", serials)
			}
		})
	}
}
