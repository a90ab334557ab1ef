package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/examples/orders/shop"
)

// TestBooksBalance kills the service while customers order, again and again: each
// order that was answered with 201 is invoiced once in the end.
func TestBooksBalance(t *testing.T) {
	database := os.Getenv("EVENTBUS_TEST_POSTGRES")
	if database == "" {
		t.Skip("no PostgreSQL: scripts/postgres.sh run -- go -C examples test ./orders")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "orders")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	start := func() *exec.Cmd {
		c := exec.Command(program, "--database", database, "--data", filepath.Join(dir, "log"), "--listen", address)
		if testing.Verbose() {
			c.Stderr = os.Stderr
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the service answers", func() bool { return get(address) != "" })
		return c
	}
	kill := func(c *exec.Cmd) {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	run, accepted := time.Now().UnixNano(), 0
	for life := range 4 {
		service := start()
		for n := range 60 {
			body, err := json.Marshal(shop.OrderPlaced{OrderID: fmt.Sprintf("%d-%d-%d", run, life, n), Customer: fmt.Sprint("c", n%5), Cents: 100})
			if err != nil {
				t.Fatal(err)
			}
			answer, err := http.Post("http://"+address+"/orders", "application/json", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusCreated {
				accepted++
			}
			if n%20 > 0 {
				continue
			}
			// The client missed the answer, and sends the order again.
			again, err := http.Post("http://"+address+"/orders", "application/json", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			_ = again.Body.Close()
			if again.StatusCode != answer.StatusCode {
				t.Errorf("an order that is sent again is answered with %s", again.Status)
			}
			other, err := http.Post("http://"+address+"/orders", "application/json", bytes.NewReader(bytes.Replace(body, []byte(":100"), []byte(":200"), 1)))
			if err != nil {
				t.Fatal(err)
			}
			_ = other.Body.Close()
			if answer.StatusCode == http.StatusCreated && other.StatusCode != http.StatusConflict {
				t.Errorf("another order of the same id is answered with %s", other.Status)
			}
		}
		kill(service) // with events that are sent and not billed, and others that are not sent
	}
	service := start()
	defer kill(service)
	eventually(t, "the books balance", func() bool {
		books := get(address)
		var orders, invoices, wrong int
		_, _ = fmt.Sscanf(books, "%d orders, %d invoices, %d orders", &orders, &invoices, &wrong)
		return orders >= accepted && orders == invoices && wrong == 0
	})
	t.Log(strings.TrimSpace(get(address)))
}

func get(address string) string {
	answer, err := http.Get("http://" + address + "/books")
	if err != nil {
		return ""
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(100 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}
