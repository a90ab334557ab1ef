package admin_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// A service serves the handler on its own address, to callers that send its token.
func ExampleHandler() {
	bus, err := eventbus.New(memory.New(), eventbus.Config{
		Service: "sales-api", Environment: "Development", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = bus.Close(context.Background()) }()
	config := admin.Config{Address: "0.0.0.0:8081", Token: secret.Text("hunter2")} // secret.File in a cluster
	if err := config.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	handler := admin.Handler(bus, admin.Token(config.Token))

	for _, authorization := range []string{"Bearer hunter3", "Bearer hunter2"} {
		request := httptest.NewRequest(http.MethodGet, "/groups", nil)
		request.Header.Set("Authorization", authorization)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		fmt.Println(answer.Code)
	}
	fmt.Println(config)
	// Output:
	// 401
	// 200
	// admin.Config{Address: "0.0.0.0:8081", Token: set}
}
