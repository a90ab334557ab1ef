package fxconsole_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/fxmodule/fxconsole"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// The admin server of a service has the console's pages below /console/.
func Example() {
	var server *fxmodule.AdminEndpoint
	app := fx.New(
		fx.NopLogger,
		fxmodule.Module,
		fx.Supply(eventbus.Config{Service: "mailer", Environment: "Development", Logger: slog.New(slog.DiscardHandler)}),
		fx.Decorate(func() transport.Transport { return memory.New() }), // without a broker
		fxmodule.AdminServer("127.0.0.1:0"),
		fxconsole.Pages(func(c *console.Config) { c.ReadOnly = true }),
		fx.Populate(&server),
	)
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer func() { _ = app.Stop(ctx) }()

	answer, err := http.Get("http://" + server.Addr().String() + "/console/")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	fmt.Println(answer.Status, strings.Contains(string(page), "mailer"), err)
	// Output: 200 OK true <nil>
}
