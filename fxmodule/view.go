package fxmodule

import (
	"context"
	"fmt"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/health"
	"github.com/eventbus-go/eventbus/view"
)

// viewOut is what View provides.
type viewOut[T any] struct {
	fx.Out

	View  *view.View[T]
	Check health.Option `group:"eventbus.health"`
}

// View provides a *view.View[T] of a compacted topic. The view starts before whatever
// is constructed with it, so handlers find it complete, and closes after it. The
// application fails to start if the view can't be read within three quarters of fx's
// start timeout; see fx.StartTimeout for large topics. The health endpoint includes
// the view's state.
func View[T any](topic *eventbus.Topic[T], config view.Config) fx.Option {
	return fx.Provide(func(bus *eventbus.Bus, life fx.Lifecycle) (viewOut[T], error) {
		v, err := view.New(bus, topic, config)
		if err != nil {
			return viewOut[T]{}, err
		}
		life.Append(fx.StartStopHook(
			func(ctx context.Context) error {
				ctx, cancel := mostOf(ctx, 0)
				defer cancel()
				return v.Start(ctx)
			},
			v.Close,
		))
		return viewOut[T]{View: v, Check: health.Check("view "+topic.Type(), fmt.Sprintf("table of the last %s of each key", topic.Type()), v.Health)}, nil
	})
}
