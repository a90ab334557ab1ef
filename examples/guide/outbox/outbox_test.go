package outbox_test

import (
	"testing"

	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/postgres/fxpostgres"
	"github.com/eventbus-go/eventbus/postgres/inbox"
	"github.com/eventbus-go/eventbus/postgres/outbox"
	"go.uber.org/fx"
)

// TestConfiguration: the file of the guide configures outbox and inbox.
func TestConfiguration(t *testing.T) {
	var out outbox.Config
	var in inbox.Config
	app := fx.New(fx.NopLogger, fxpostgres.FromEnvironment(config.Files("eventbus.yaml"), config.Environ()), fx.Populate(&out, &in))
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	if out.Batch != 5000 || out.Table.Schema != "shop" || in.Keep.Hours() != 720 {
		t.Errorf("%+v, %+v", out, in)
	}
}
