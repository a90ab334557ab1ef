package engine

import (
	"context"
	"log/slog"

	"github.com/eventbus-go/eventbus/transport"
)

// shared is what the partitions, subscriptions and workers of an engine share.
// It is set up by New and Start before anything runs. Only the parts that have locks of
// their own, or atomic counts, change afterwards.
type shared struct {
	log      *slog.Logger
	observer Observer
	base     context.Context // of every attempt: carries values, never ends

	judge      func(error) Verdict
	deadLetter func(ctx context.Context, f *Failure, done func(error))
	unhandled  func(topic, typ string)

	pool    pool
	parking parking[*wait]
	letters letters
	foreign *foreignTypes

	started  chan struct{}      // closed by Start
	consumer transport.Consumer // since then
}
