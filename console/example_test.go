package console_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// A service serves the pages under a path of its own server, to this machine only, since
// there are no tokens.
func Example() {
	ctx := context.Background()
	bus, err := eventbus.New(memory.New(), eventbus.Config{
		Service: "mailer", Environment: "Development", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = bus.Close(ctx) }()
	pages, err := console.New(console.Config{Bus: bus, Title: "Mailer"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = pages.Close(ctx) }()
	mux := http.NewServeMux()
	mux.Handle("/ops/", http.StripPrefix("/ops", pages))

	for _, from := range []string{"127.0.0.1:50000", "10.0.0.9:50000"} {
		request := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:8081/ops/", nil)
		request.RemoteAddr = from
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, request)
		fmt.Println(from, answer.Code, strings.Contains(answer.Body.String(), "Mailer"))
	}
	// Output:
	// 127.0.0.1:50000 200 true
	// 10.0.0.9:50000 403 false
}
