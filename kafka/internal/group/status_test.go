package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// levels is a log handler that keeps the levels of the records.
type levels struct {
	slog.Handler
	seen []slog.Level
}

func (l *levels) Enabled(context.Context, slog.Level) bool { return true }

func (l *levels) Handle(_ context.Context, r slog.Record) error {
	l.seen = append(l.seen, r.Level)
	return nil
}

// TestNewTopicIsNoWarning: an error that brokers return while not all of them know a topic is a
// warning only if it lasts, and then once a minute. Any other error is a warning at once.
func TestNewTopicIsNoWarning(t *testing.T) {
	started := fmt.Errorf("finding the offsets: events/0: %w", kerr.NotLeaderOrFollower)
	for name, c := range map[string]struct {
		err   error
		first slog.Level
	}{
		"no leader yet": {started, slog.LevelDebug},
		"no topic yet":  {cluster.TopicError("events", kerr.UnknownTopicOrPartition), slog.LevelDebug},
		"another error": {errors.New("no broker answers"), slog.LevelWarn},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := new(levels)
				m := &membership{ctx: t.Context(), log: slog.New(l)}
				for _, after := range []time.Duration{0, time.Second, time.Second, 4 * time.Second, time.Second, time.Second} {
					time.Sleep(after)
					m.logFailure(c.err)
				}
				want := []slog.Level{c.first}
				if c.first == slog.LevelDebug {
					want = append(want, slog.LevelWarn)
				}
				if !slices.Equal(l.seen, want) {
					t.Errorf("logged at %v, want %v", l.seen, want)
				}
				time.Sleep(logAgain)
				m.logFailure(c.err)
				if want = append(want, slog.LevelWarn); !slices.Equal(l.seen, want) {
					t.Errorf("after a minute logged at %v, want %v", l.seen, want)
				}
				// Much later the same error is new again.
				time.Sleep(2 * logAgain)
				m.logFailure(c.err)
				if want = append(want, c.first); !slices.Equal(l.seen, want) {
					t.Errorf("then logged at %v, want %v", l.seen, want)
				}
			})
		})
	}
}
