package handshake

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	saslplain "github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// canned is the network side of a Conn: it accepts requests and answers with fixed
// bytes.
type canned struct {
	net.Conn
	answers bytes.Reader
	read    int
}

func (c *canned) Write(b []byte) (int, error) { return len(b), nil }

func (c *canned) Read(b []byte) (int, error) {
	n, err := c.answers.Read(b)
	c.read += n
	return n, err
}

func (c *canned) Close() error                { return nil }
func (c *canned) SetDeadline(time.Time) error { return nil }

// answering returns kafka-go's connection over a server that answers b.
func answering(b []byte) (*protocol.Conn, *Conn) {
	c := New(&canned{answers: *bytes.NewReader(b)})
	return protocol.NewConn(c, "test"), c
}

// response frames an answer of a broker.
func response(correlation int32, r kmsg.Response, version int16) []byte {
	r.SetVersion(version)
	body := r.AppendTo(binary.BigEndian.AppendUint32(nil, uint32(correlation)))
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func TestConnHandsOnWhatIsWellFormed(t *testing.T) {
	versions := kmsg.NewPtrApiVersionsResponse()
	versions.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: 17, MaxVersion: 1}, {ApiKey: 36, MaxVersion: 1}, {ApiKey: 3, MaxVersion: 8}}
	shaken := kmsg.NewPtrSASLHandshakeResponse()
	shaken.SupportedMechanisms = []string{"PLAIN"}
	authenticated := kmsg.NewPtrSASLAuthenticateResponse()
	authenticated.SASLAuthBytes = []byte("welcome")
	authenticated.SessionLifetimeMillis = 60_000
	brokers := kmsg.NewPtrMetadataResponse()
	brokers.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 4, Host: "b4", Port: 9092}}
	brokers.Topics = []kmsg.MetadataResponseTopic{{Topic: new("left-out")}}

	var wire []byte
	for i, r := range []struct {
		kmsg.Response
		version int16
	}{{versions, 0}, {shaken, 1}, {authenticated, 1}, {brokers, 8}} {
		wire = append(wire, response(int32(i+1), r.Response, r.version)...)
	}
	pc, conn := answering(wire)
	ask := func(req protocol.Message) protocol.Message {
		t.Helper()
		resp, err := pc.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if got := ask(&apiversions.Request{}).(*apiversions.Response); len(got.ApiKeys) != 3 {
		t.Errorf("versions: %+v", got)
	}
	pc.SetVersions(map[protocol.ApiKey]int16{protocol.SaslHandshake: 1, protocol.SaslAuthenticate: 1, protocol.Metadata: 8})
	ask(&saslhandshake.Request{Mechanism: "PLAIN"})
	if got := ask(&saslauthenticate.Request{}).(*saslauthenticate.Response); string(got.AuthBytes) != "welcome" {
		t.Errorf("token: %+v", got)
	}
	if got := conn.SessionLifetime(); got != time.Minute {
		t.Errorf("session lifetime %v, want 1m", got)
	}
	if got := ask(&metadata.Request{}).(*metadata.Response); len(got.Brokers) != 1 || got.Brokers[0].Host != "b4" || len(got.Topics) != 0 {
		t.Errorf("metadata: %+v", got)
	}
}

func TestConnReadsRawTokens(t *testing.T) {
	shaken := response(1, kmsg.NewPtrSASLHandshakeResponse(), 0)
	raw := append(binary.BigEndian.AppendUint32(nil, 5), "token"...)
	brokers := response(3, kmsg.NewPtrMetadataResponse(), 8)
	pc, _ := answering(bytes.Join([][]byte{shaken, raw, brokers}, nil))
	pc.SetVersions(map[protocol.ApiKey]int16{protocol.SaslHandshake: 0, protocol.Metadata: 8})
	if _, err := pc.RoundTrip(&saslhandshake.Request{Mechanism: "PLAIN"}); err != nil {
		t.Fatal(err)
	}
	got, err := pc.RoundTrip(&saslauthenticate.Request{AuthBytes: []byte("\x00user\x00secret")})
	if err != nil || string(got.(*saslauthenticate.Response).AuthBytes) != "token" {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := pc.RoundTrip(&metadata.Request{}); err != nil {
		t.Fatal(err)
	}
}

// TestConnBoundsWhatAServerAnnounces sends answers that would crash a process that
// passes them to kafka-go: a negative token length, and array lengths that are
// allocated at once.
func TestConnBoundsWhatAServerAnnounces(t *testing.T) {
	huge := []byte{0x7f, 0xff, 0xff, 0xff}
	framed := func(body ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	handshake := func(version int16) []byte { return response(1, kmsg.NewPtrSASLHandshakeResponse(), version) }
	for _, c := range []struct {
		name, says string
		wire       []byte
		ask        []protocol.Message
		versions   map[protocol.ApiKey]int16
	}{
		{"HTTP", "HTTP", []byte("HTTP/1.1 400 Bad Request\r\n"), []protocol.Message{&apiversions.Request{}}, nil},
		{"TLS alert", "TLS", []byte{0x15, 3, 3, 0, 2, 2, 40}, []protocol.Message{&apiversions.Request{}}, nil},
		{"TLS alert, and another request", "TLS", []byte{0x15, 3, 3, 0, 2, 2, 40}, []protocol.Message{&apiversions.Request{}, &saslhandshake.Request{}}, nil},
		{"huge frame", "bound", huge, []protocol.Message{&apiversions.Request{}}, nil},
		{"negative frame", "bound", []byte{0xff, 0xff, 0xff, 0xff}, []protocol.Message{&apiversions.Request{}}, nil},
		{"empty frame", "header", framed(), []protocol.Message{&apiversions.Request{}}, nil},
		{"another's answer", "request 1", framed(0, 0, 0, 9), []protocol.Message{&apiversions.Request{}}, nil},
		{"array of versions", "array", framed(append([]byte{0, 0, 0, 1, 0, 0}, huge...)...), []protocol.Message{&apiversions.Request{}}, nil},
		{"array of mechanisms", "array", framed(append([]byte{0, 0, 0, 1, 0, 0}, huge...)...), []protocol.Message{&saslhandshake.Request{}}, nil},
		{"array of brokers", "array", framed(append([]byte{0, 0, 0, 1}, huge...)...), []protocol.Message{&metadata.Request{}}, nil},
		{"negative token", "bound", append(handshake(0), 0xff, 0xff, 0xff, 0xff), []protocol.Message{&saslhandshake.Request{}, &saslauthenticate.Request{}}, nil},
		{"huge token", "bound", append(handshake(0), huge...), []protocol.Message{&saslhandshake.Request{}, &saslauthenticate.Request{}}, nil},
		{"length of a token within a frame", "malformed", append(handshake(1), framed(0, 0, 0, 2, 0, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff)...),
			[]protocol.Message{&saslhandshake.Request{}, &saslauthenticate.Request{}}, map[protocol.ApiKey]int16{protocol.SaslHandshake: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pc, _ := answering(c.wire)
			pc.SetVersions(c.versions)
			var err error
			allocated := allocates(func() {
				for _, req := range c.ask {
					_, err = pc.RoundTrip(req)
				}
			})
			var foreign *Error
			if !errors.As(err, &foreign) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
			if allocated > 1<<20 {
				t.Errorf("%d bytes were allocated for %d bytes of a server's", allocated, len(c.wire))
			}
		})
	}
}

// FuzzConn sets up a connection with kafka-go to a server that answers anything,
// and checks that memory stays within a multiple of the answers.
func FuzzConn(f *testing.F) {
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), int16(1))
	f.Add(response(1, kmsg.NewPtrApiVersionsResponse(), 0), int16(0))
	f.Add(append(response(1, kmsg.NewPtrApiVersionsResponse(), 0), response(2, kmsg.NewPtrSASLHandshakeResponse(), 0)...), int16(0))
	f.Fuzz(func(t *testing.T, wire []byte, handshakeVersion int16) {
		pc, _ := answering(wire)
		allocated := allocates(func() {
			if _, err := pc.RoundTrip(&apiversions.Request{}); err != nil {
				return
			}
			pc.SetVersions(map[protocol.ApiKey]int16{protocol.SaslHandshake: handshakeVersion & 1, protocol.SaslAuthenticate: handshakeVersion & 1, protocol.Metadata: handshakeVersion & 7})
			if _, err := pc.RoundTrip(&saslhandshake.Request{Mechanism: "PLAIN"}); err != nil {
				return
			}
			if _, err := pc.RoundTrip(&saslauthenticate.Request{}); err != nil {
				return
			}
			_, _ = pc.RoundTrip(&metadata.Request{TopicNames: []string{}})
		})
		if bound := uint64(1<<20 + 200*len(wire)); allocated > bound {
			t.Errorf("%d bytes were allocated for %d bytes of a server's, more than %d", allocated, len(wire), bound)
		}
	})
}

// allocates returns how many bytes f allocates, other goroutines included.
func allocates(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestConnEndsWithTheCall dials a listener that sends without end, as kafka-go's
// transport does, and checks that the connection is closed once.
func TestConnEndsWithTheCall(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	ended := make(chan struct{}, 16)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, endless{})
				ended <- struct{}{}
			}()
		}
	}()
	pool := &kafkago.Transport{
		SASL: saslplain.Mechanism{Username: "u", Password: "p"},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return New(conn), nil
		},
	}
	defer pool.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = pool.RoundTrip(ctx, listener.Addr(), &metadata.Request{})
	if _, ok := errors.AsType[*Error](err); !ok {
		t.Fatalf("error %v, want an *Error", err)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		t.Fatal("the connection stays open")
	}
}

// endless is a server's endless answer.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return copy(b, "HTTP/1.1 200 OK\r\n"), nil }
