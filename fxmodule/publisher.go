package fxmodule

import (
	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
)

// Publisher provides a *eventbus.Publisher[T] for a topic. Annotations shape it:
// fx.As turns it into a service's own interface of one method, fx.ResultTags gives it
// a name if two topics have events of one type.
func Publisher[T any](topic *eventbus.Topic[T], annotations ...fx.Annotation) fx.Option {
	publisher := func(bus *eventbus.Bus) *eventbus.Publisher[T] { return eventbus.NewPublisher(bus, topic) }
	return fx.Provide(fx.Annotate(publisher, annotations...))
}
