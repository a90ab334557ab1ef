package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestConsoleReadsBySchema: the console shows Avro and Protobuf data as JSON, without the
// fields that its schema marks as personal, and only if it is told to show data.
func TestConsoleReadsBySchema(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	fake.SeedSchema("moves", 1, 1, sr.Schema{Schema: `{"type":"record","name":"CustomerMoved","namespace":"sales","fields":[
		{"name":"customerId","type":"string"},
		{"name":"to","type":["null",{"type":"record","name":"Address","fields":[{"name":"street","type":"string","confluent:tags":["PII"]},{"name":"country","type":"string"}]}]}]}`})
	fake.SeedSchema("payments", 1, 2, sr.Schema{Type: sr.TypeProtobuf, Schema: `syntax = "proto3"; package shop; message Paid { string order_id = 1; string card = 2 [debug_redact = true]; }`})
	b := &bench{Cluster: kafkatest.NewBroker(t)}
	topic := strings.ToLower(b.Environment()) + ".sales.public.moves.v1.mailer.dlq"
	prefixed := func(id int, index []byte, data string) transport.Record {
		r := transport.Record{Topic: topic, Key: []byte("c-1"), Value: append(registry.AppendPrefix(nil, id, index), data...)}
		for _, h := range [][2]string{
			{"ce_specversion", "1.0"}, {"ce_type", "CustomerMoved"}, {"ce_source", "urn:sales"}, {"ce_id", fmt.Sprint("e-", id)}, {"content-type", "application/octet-stream"},
			{letter.Topic, "moves"}, {letter.Partition, "0"}, {letter.Offset, "0"}, {letter.Group, "mailer"}, {letter.Reason, "exhausted"}, {letter.Error, "no van"},
		} {
			r.Headers = append(r.Headers, transport.Header{Key: h[0], Value: []byte(h[1])})
		}
		return r
	}
	b.Produce(t,
		prefixed(1, nil, "\x06c-1\x02\x0eBayerst\x04DE"),
		prefixed(2, []byte{0}, "\x0a\x03o-1\x12\x044711"),
		prefixed(1, nil, "\x06c-2"), // cut off
		prefixed(9, nil, "x"),       // an id that the registry does not know
	)

	// letters returns the pages of the letters, of a console with these flags.
	letters := func(flags ...string) (pages []string) {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		out, printed := io.Pipe()
		ended := make(chan int, 1)
		var complaints strings.Builder
		go func() {
			args := append([]string{"--brokers", strings.Join(b.Brokers(), ","), "--environment", b.Environment(), "console", "--no-token"}, flags...)
			ended <- run(ctx, args, strings.NewReader(""), printed, &complaints)
			_ = printed.Close()
		}()
		defer func() {
			stop()
			http.DefaultClient.CloseIdleConnections()
			if code := <-ended; code != exitOK {
				t.Errorf("the console ended with %d: %s", code, complaints.String())
			}
		}()
		var address string
		if _, err := fmt.Fscanf(out, "Open %s\n", &address); err != nil {
			t.Fatalf("%v: %s", err, complaints.String())
		}
		for offset := range 4 {
			answer, err := http.Get(fmt.Sprintf("%sletter?topic=%s&partition=0&offset=%d", address, topic, offset))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("%d, %v: %s", answer.StatusCode, err, text)
			}
			pages = append(pages, string(text))
		}
		return pages
	}
	shown := letters("--show-data", "--registry", fake.URL())
	for i, want := range [][]string{
		{"&#34;customerId&#34;: &#34;c-1&#34;", "&#34;country&#34;: &#34;DE&#34;", "&#34;street&#34;: &#34;•••&#34;", "1 AVRO sales.CustomerMoved"},
		{"&#34;orderId&#34;: &#34;o-1&#34;", "&#34;card&#34;: &#34;•••&#34;", "2 PROTOBUF shop.Paid"},
		{"can&#39;t be read by its schema"},
		{"No catalogue here has this type"},
	} {
		for _, text := range want {
			if !strings.Contains(shown[i], text) {
				t.Errorf("letter %d does not show %s:\n%s", i, text, shown[i][strings.Index(shown[i], "<h2>"):])
			}
		}
		for _, secret := range []string{"Bayerst", "4711"} {
			if strings.Contains(shown[i], secret) {
				t.Errorf("letter %d shows %s", i, secret)
			}
		}
	}
	// The console was not told to show data, so it must not ask the registry.
	fake.Intercept(func(http.ResponseWriter, *http.Request) bool {
		t.Error("the registry is asked")
		return false
	})
	for _, page := range letters("--registry", fake.URL()) {
		if !strings.Contains(page, "started without showing data") {
			t.Error(page)
		}
	}
	fake.Close()
	if page := letters("--show-data", "--registry", fake.URL())[0]; !strings.Contains(page, "schema can&#39;t be fetched") || strings.Contains(page, "Bayerst") {
		t.Error(page)
	}
}

// TestConsoleWithoutBrokers: with Kafka down the console starts, and members report what
// they know.
func TestConsoleWithoutBrokers(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	_ = listener.Close()
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "billing", Environment: "Test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close(context.Background())
	member := httptest.NewServer(admin.Handler(bus))
	defer member.Close()
	defer http.DefaultClient.CloseIdleConnections()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, printed := io.Pipe()
	ended := make(chan int, 1)
	var complaints strings.Builder
	go func() {
		ended <- run(ctx, []string{"--brokers", nobody, "-e", "Test", "console", "--no-token", "--member", member.URL}, strings.NewReader(""), printed, &complaints)
		_ = printed.Close()
	}()
	var address string
	if _, err := fmt.Fscanf(out, "Open %s\n", &address); err != nil {
		<-ended
		t.Fatalf("%v: %s", err, complaints.String())
	}
	answer, err := http.Get(address + "members")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || !strings.Contains(string(page), "billing") {
		t.Errorf("%d, %v: %s", answer.StatusCode, err, page)
	}
	stop()
	if code := <-ended; code != exitOK || !strings.Contains(complaints.String(), "can't be asked now") {
		t.Errorf("it ended with %d: %s", code, complaints.String())
	}
}
