package kafka

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// TestCallbacksThatPanic: what the user's functions do wrong is an error of the call,
// and never the end of the program, since they run on goroutines of the driver.
func TestCallbacksThatPanic(t *testing.T) {
	for name, c := range map[string]struct {
		dial func(context.Context, string, string) (net.Conn, error)
		want string
	}{
		"a panic":       {func(context.Context, string, string) (net.Conn, error) { panic("no route") }, "the configured Dial panicked: no route"},
		"no connection": {func(context.Context, string, string) (net.Conn, error) { return nil, nil }, "no connection and no error"},
	} {
		tr := New(Config{Brokers: []string{"127.0.0.1:1"}, Dial: c.dial, DialTimeout: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if _, err := tr.Cluster(ctx); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if err := tr.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	o := &oauthBearer{token: func(context.Context) (Token, error) { panic("eyJhbGciOi") }}
	if _, _, err := o.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "SASL.Token panicked") || strings.Contains(err.Error(), "eyJ") {
		t.Error(err)
	}
}
