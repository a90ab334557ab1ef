package engine

import (
	"context"
	"log/slog"

	"github.com/eventbus-go/eventbus/transport"
)

// shared is what the partitions, subscriptions and workers of an engine share. New and Start
// set it up before anything runs. After that only parts with their own locks, or atomic counts,
// change.
type shared struct {
	log      *slog.Logger
	observer Observer
	base     context.Context // parent of every attempt's context: carries values, never ends

	judge      func(error) Verdict
	deadLetter func(ctx context.Context, f *Failure, done func(error))
	unhandled  func(topic, typ string)

	pool    pool
	parking parking[*wait]
	letters letters
	foreign *foreignTypes

	started  chan struct{}      // closed by Start
	consumer transport.Consumer // set before started is closed
}
