package config_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/config"
)

type relayConfig struct {
	Table struct{ Schema, Name string }
	Level slog.Level // an encoding.TextUnmarshaler
	Batch int
	Poll  time.Duration
	Keep  time.Duration
	Plain bool
	Kind  kind
	Port  uint16
	Least int8
	Log   *slog.Logger // set in code alone
	inner int          //nolint:unused // no key reaches it
}

type kind string

func TestLoadSection(t *testing.T) {
	c := relayConfig{Keep: time.Hour}
	err := config.LoadSection("Outbox", &c, config.Directory(t.TempDir()), config.Environ(
		"Outbox__Table__Schema=shop", "Outbox__Level=WARN", "OUTBOX__BATCH=500", "Outbox__Poll=00:00:02", "Outbox__Plain=true", "Outbox__Kind=daily",
		"Outbox__Port=65535", "Outbox__Least=127", "EventBus__Service=orders")) // another section's keys are not faults of this one
	if err != nil {
		t.Fatal(err)
	}
	want := relayConfig{Level: slog.LevelWarn, Batch: 500, Poll: 2 * time.Second, Keep: time.Hour, Plain: true, Kind: "daily", Port: 65535, Least: 127}
	want.Table.Schema = "shop"
	if c != want {
		t.Errorf("%+v\nwant %+v", c, want)
	}
}

func TestLoadSectionFaults(t *testing.T) {
	var c relayConfig
	err := config.LoadSection("Outbox", &c, config.Directory(t.TempDir()), config.Environ(
		"Outbox__Btach=500", "Outbox__Poll=fast", "Outbox__Level=loud", "Outbox__Log=x", "Outbox__inner=1", "Outbox__Port=65536", "Outbox__Least=128"))
	var faults *config.Error
	if !errors.As(err, &faults) || len(faults.Bus) != 7 {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{"did you mean Outbox:Batch?", `"fast" is not a duration`, "Outbox__Level in the environment", `"Outbox__Log"`, `"Outbox__inner"`,
		"Outbox__Port in the environment: this is too large", "Outbox__Least in the environment: this is too large"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nlacks %s", err, part)
		}
	}
	for _, into := range []any{nil, c, (*relayConfig)(nil), new(int)} {
		if err := config.LoadSection("Outbox", into); err == nil {
			t.Errorf("%T was taken", into)
		}
	}
}
