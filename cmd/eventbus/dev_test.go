package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/resilience"
)

// TestDev uses the development broker only by what it prints: by a service that is
// configured by these variables, the tool, and a browser. Then it stops it.
func TestDev(t *testing.T) {
	// A configuration for another cluster is not read: its password would be refused.
	t.Chdir(t.TempDir())
	if err := os.WriteFile("appsettings.json", []byte(`{"EventBus":{"Sasl":{"Mechanism":"PLAIN","Username":"u","Password":"p"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	out, in := io.Pipe()
	var complaints bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"dev", "--port", "0", "--console", "0"}, strings.NewReader(""), in, &complaints)
		in.Close()
	}()
	var environ []string
	address := ""
	said := bufio.NewScanner(out)
	for address == "" && said.Scan() {
		if line, ok := strings.CutPrefix(said.Text(), "  export "); ok {
			environ = append(environ, line)
		}
		address = regexp.MustCompile(`http://\S+`).FindString(said.Text())
	}
	if len(environ) != 2 || address == "" {
		t.Fatalf("it printed %q and %q: %s", environ, address, complaints.String())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()

	c, err := config.Load(config.Service("mailer"), config.Environ(environ...), config.Directory(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	bus, err := eventbus.New(kafka.New(c.Kafka), c.Bus)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan struct{}, 1)
	if err := eventbus.Subscribe(bus, customers, func(context.Context, customerCreated) error {
		failed <- struct{}{}
		return context.Canceled
	}, eventbus.Retry(resilience.NoRetry())); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := eventbus.NewPublisher(bus, customers).Publish(t.Context(), customerCreated{"c-1", "Ann"}); err != nil {
		t.Fatal(err)
	}
	<-failed
	if err := bus.Close(t.Context()); err != nil { // which flushes the dead letter
		t.Fatal(err)
	}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	t.Chdir(t.TempDir())
	topic := customers.In("dev")
	start(t, "", "tail", topic, "--last", "1").ok("customerCreated", "key=c-1")
	start(t, "", "dlq", "show", topic+".mailer-dev.dlq").ok("context canceled", "key=c-1")

	resp, err := http.Get(address) //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("Development")) {
		t.Errorf("the console answers %s: %v", resp.Status, err)
	}
	http.DefaultClient.CloseIdleConnections()
	end()
	select {
	case got := <-code:
		if got != exitOK {
			t.Errorf("it ended with %d: %s", got, complaints.String())
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
}

// TestDevPortTaken: the error says what to do about a port that is in use.
func TestDevPortTaken(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	start(t, "", "dev", "--port", port).fails(exitFailed, "port "+port+" is taken", "--port PORT")
	start(t, "", "dev", "--port", "0", "--console", port).fails(exitFailed, "port "+port+" is taken", "--console PORT")
	start(t, "", "dev", "--brokers", "x:1").fails(exitMisuse, "broker of its own")
}

// TestDevCatalog creates the topics of a catalogue, and keeps them in a directory.
func TestDevCatalog(t *testing.T) {
	directory, file := t.TempDir(), catalogFile(t)
	for _, says := range []string{"created", "none missing"} {
		ctx, end := context.WithCancel(t.Context())
		var complaints bytes.Buffer
		out := &waiting{text: "Ctrl-C", do: end}
		code := run(ctx, []string{"dev", "--port", "0", "--no-console", "--directory", directory, "--catalog", file}, strings.NewReader(""), out, &complaints)
		if code != exitOK || !strings.Contains(complaints.String(), says) {
			t.Errorf("%d: %s%s", code, out.String(), complaints.String())
		}
		end()
	}
}

// waiting is an output that calls do once it contains a text.
type waiting struct {
	bytes.Buffer
	text string
	do   func()
}

func (u *waiting) Write(b []byte) (int, error) {
	n, err := u.Buffer.Write(b)
	if strings.Contains(u.String(), u.text) {
		u.do()
	}
	return n, err
}
