package fxpostgres_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/postgres/fxpostgres"
	"github.com/eventbus-go/eventbus/postgres/inbox"
	"github.com/eventbus-go/eventbus/postgres/internal/pgtest"
	"github.com/eventbus-go/eventbus/postgres/outbox"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
)

type placed struct {
	ID string `json:"id"`
}

var placedTopic = eventbus.NewTopic(eventbus.TopicConfig[placed]{Domain: "sales", Name: "placed", Key: func(p placed) string { return p.ID }})

// TestModule: an application writes events with an injected publisher, and handles
// them in the inbox's transaction.
func TestModule(t *testing.T) {
	address := pgtest.Shared(t)
	pool, err := pgxpool.New(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("fx%d_%d", os.Getpid(), time.Now().UnixMilli())
	t.Cleanup(func() {
		_, _ = pool.Exec(context.Background(), `DROP SCHEMA `+schema+` CASCADE`)
		pool.Close()
	})
	cluster := kafkatest.NewBroker(t)
	handled := make(chan string, 10)
	var publisher *outbox.Publisher[placed]
	app := fxtest.New(t,
		fx.Supply(pool, kafka.Config{}, eventbus.Config{Service: "shop", Environment: "Test"}),
		fxpostgres.FromEnvironment(config.Directory(t.TempDir()), config.Environ("Outbox__Table__Schema="+schema, "Outbox__From=oldest", "Inbox__Table__Schema="+schema)),
		fxmodule.Module, cluster.Module(),
		fxpostgres.Migrate(),
		fxpostgres.Module,
		fxpostgres.Publisher(placedTopic),
		fxpostgres.Idempotent(),
		fxmodule.SubscribeFunc(placedTopic, func(ctx context.Context, p placed) error {
			if _, ok := inbox.FromContext(ctx); !ok {
				t.Error("no transaction in the handler's context")
			}
			handled <- p.ID
			return nil
		}),
		fx.Populate(&publisher))
	app.RequireStart()
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return publisher.Publish(t.Context(), outbox.Pgx(tx), placed{ID: "o-1"})
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case id := <-handled:
		if id != "o-1" {
			t.Errorf("handled %q", id)
		}
	case <-time.After(30 * time.Second):
		t.Error("nothing was handled")
	}
	app.RequireStop()
}

// TestConfigured: an unknown key is an error that suggests the right one.
func TestConfigured(t *testing.T) {
	err := fx.New(fx.NopLogger, fxpostgres.FromEnvironment(config.Directory(t.TempDir()), config.Environ("Outbox__Btach=5")),
		fx.Invoke(func(outbox.Config) {})).Err()
	if err == nil || !strings.Contains(err.Error(), "did you mean Outbox:Batch?") {
		t.Errorf("an unknown key: %v", err)
	}
}
