//go:build integration

package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// authority is a certificate authority that lives as long as a test.
type authority struct {
	t   *testing.T
	dir string
	key *ecdsa.PrivateKey
	der []byte
	ca  string // file of its own certificate, PEM
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key, a.der = a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.ca = a.write(name+".pem", block("CERTIFICATE", a.der))
	return a
}

// issue creates a key and a certificate for it, signed by the authority, or
// self-signed if the authority has no key yet.
func (a *authority) issue(c *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-2*time.Hour)
	parent, signer := c, key
	if a.der != nil {
		if parent, err = x509.ParseCertificate(a.der); err != nil {
			a.t.Fatal(err)
		}
		signer = a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

// identity issues a certificate for 127.0.0.1 that is good until then, and
// returns the files of certificate and key, and one with both.
func (a *authority) identity(name string, until time.Time) (certificate, key, both string) {
	a.t.Helper()
	private, der := a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	chain := append(block("CERTIFICATE", der), block("CERTIFICATE", a.der)...)
	certificate = a.write(name+".pem", chain)
	key = a.write(name+".key", block("PRIVATE KEY", secret))
	return certificate, key, a.write(name+".both", append(block("PRIVATE KEY", secret), chain...))
}

func (a *authority) write(name string, content []byte) string {
	a.t.Helper()
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// listeners are those of the secured broker, by name, in the order of their ports.
// The first is the script's own, for the broker itself and the test's tools.
var listeners = []string{"PLAINTEXT", "ONEWAY", "MUTUAL", "EXPIRED", "PASSWORD"}

// secured is a separate broker that is protected by certificates, passwords, and
// access control lists.
type secured struct {
	t    *testing.T
	base int
	name string
}

// startSecured starts the broker. Its own certificate comes from ca; clients'
// must come from there too. The users alice and bob have the password "pass-"
// and their name.
func startSecured(t *testing.T, ca *authority) *secured {
	t.Helper()
	s := &secured{t: t, base: freePorts(t), name: fmt.Sprintf("secured-%d", os.Getpid())}
	_, _, good := ca.identity("broker", time.Now().Add(time.Hour))
	_, _, expired := ca.identity("expired-broker", time.Now().Add(-time.Hour))
	var p strings.Builder
	set := func(key, value string) { fmt.Fprintf(&p, "%s=%s\n", key, value) }
	var addresses []string
	for i, l := range listeners {
		addresses = append(addresses, fmt.Sprintf("%s://127.0.0.1:%d", l, s.base+i))
	}
	set("listeners", strings.Join(addresses, ",")+fmt.Sprintf(",CONTROLLER://127.0.0.1:%d", s.base+5))
	set("advertised.listeners", strings.Join(addresses, ","))
	set("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,ONEWAY:SSL,MUTUAL:SSL,EXPIRED:SSL,PASSWORD:SASL_SSL")
	for l, certificate := range map[string]string{"oneway": good, "mutual": good, "expired": expired, "password": good} {
		at := "listener.name." + l + "."
		set(at+"ssl.keystore.type", "PEM")
		set(at+"ssl.keystore.location", certificate)
		set(at+"ssl.truststore.type", "PEM")
		set(at+"ssl.truststore.location", ca.ca)
	}
	set("listener.name.mutual.ssl.client.auth", "required")
	set("listener.name.password.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512")
	set("listener.name.password.plain.sasl.jaas.config",
		`org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="pass-alice" user_bob="pass-bob";`)
	set("listener.name.password.scram-sha-512.sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required;")
	set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
	set("super.users", "User:ANONYMOUS;User:CN=client;User:alice")
	s.script(ca.write("broker.properties", []byte(p.String())), "start")
	t.Cleanup(func() { s.script("", "stop") })
	for _, user := range []string{"alice", "bob"} {
		s.script("", "tool", "org.apache.kafka.tools.ConfigCommand", "--bootstrap-server", s.at("PLAINTEXT"), "--alter",
			"--entity-type", "users", "--entity-name", user, "--add-config", "SCRAM-SHA-512=[password=pass-"+user+"]")
	}
	return s
}

// at returns the address of a listener.
func (s *secured) at(listener string) string {
	for i, l := range listeners {
		if l == listener {
			return "127.0.0.1:" + strconv.Itoa(s.base+i)
		}
	}
	s.t.Fatalf("there is no listener %s", listener)
	return ""
}

// allow grants a user an operation on a resource such as "--topic" "orders".
func (s *secured) allow(user, operation, kind, name string) {
	s.t.Helper()
	s.script("", "tool", "org.apache.kafka.tools.AclCommand", "--bootstrap-server", s.at("PLAINTEXT"), "--add",
		"--allow-principal", "User:"+user, "--operation", operation, kind, name)
}

func (s *secured) script(properties string, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../scripts/kafka.sh", args...)
	cmd.Env = append(os.Environ(), "KAFKA_CLUSTER="+s.name, "KAFKA_PORT="+strconv.Itoa(s.base), "KAFKA_PROPERTIES="+properties)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("kafka.sh %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// freePorts returns the first of ten consecutive ports that nobody listens on.
func freePorts(t *testing.T) int {
	t.Helper()
	for base := 24000; base < 32000; base += 10 {
		free := 0
		for port := base; port < base+10; port++ {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
			if err != nil {
				break
			}
			_ = l.Close()
			free++
		}
		if free == 10 {
			return base
		}
	}
	t.Fatal("no ten ports in a row are free")
	return 0
}
