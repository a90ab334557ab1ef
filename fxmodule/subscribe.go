package fxmodule

import (
	"context"
	"fmt"
	"reflect"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
)

// group is the value group of subscriptions. Its values come in any order.
const group = `group:"eventbus.subscriptions"`

// Subscribe subscribes a method of a service in the container: handle is a method
// expression, such as (*Mailer).Welcome, or a function that takes the service as its
// first argument.
func Subscribe[H, T any](topic *eventbus.Topic[T], handle func(H, context.Context, T) error, options ...eventbus.SubscribeOption) fx.Option {
	return Subscriptions(func(service H) eventbus.Subscription {
		return eventbus.On(topic, bound(service, handle), options...)
	})
}

// bound returns a handler that calls handle for a service, or nil, which the bus refuses,
// if there is nothing to call.
func bound[H, E any](service H, handle func(H, context.Context, E) error) func(context.Context, E) error {
	if handle == nil {
		return nil
	}
	return func(ctx context.Context, event E) error { return handle(service, ctx, event) }
}

// SubscribeFunc subscribes a function that needs nothing from the container.
func SubscribeFunc[T any](topic *eventbus.Topic[T], handle func(context.Context, T) error, options ...eventbus.SubscribeOption) fx.Option {
	return Subscriptions(func() eventbus.Subscription { return eventbus.On(topic, handle, options...) })
}

// Topics declares topics whose events eventbus.Publish and Handle find by their Go
// types: the lists of the contracts packages. They add to those of the
// eventbus.Config.
func Topics(topics ...eventbus.AnyTopic) fx.Option {
	return fx.Provide(fx.Annotate(func() []eventbus.AnyTopic { return topics }, fx.ResultTags(`group:"eventbus.topics,flatten"`)))
}

// Handle is Subscribe for the topic that Topics declares for the event's type. If
// none or two declare the type, the start fails with an error that names it.
func Handle[H, T any](handle func(H, context.Context, T) error, options ...eventbus.SubscribeOption) fx.Option {
	return Subscriptions(func(service H) eventbus.Subscription {
		return eventbus.Handle(bound(service, handle), options...)
	})
}

// HandleFunc is Handle for a function that needs nothing from the container.
func HandleFunc[T any](handle func(context.Context, T) error, options ...eventbus.SubscribeOption) fx.Option {
	return Subscriptions(func() eventbus.Subscription { return eventbus.Handle(handle, options...) })
}

// SubscribeBatch is Subscribe for a method that takes batches, like OnBatch.
func SubscribeBatch[H, T any](topic *eventbus.Topic[T], handle func(H, context.Context, []T) error, options ...eventbus.SubscribeOption) fx.Option {
	return Subscriptions(func(service H) eventbus.Subscription {
		return eventbus.OnBatch(topic, bound(service, handle), options...)
	})
}

// SubscribeAny is Subscribe for a method that takes all events of a topic, like OnAny.
func SubscribeAny[H any](topic eventbus.AnyTopic, handle func(H, context.Context, *eventbus.Envelope) error, options ...eventbus.SubscribeOption) fx.Option {
	return Subscriptions(func(service H) eventbus.Subscription {
		return eventbus.OnAny(topic, bound(service, handle), options...)
	})
}

// SubscribeAnyBatch is SubscribeAny for a method that takes batches, like OnAnyBatch.
func SubscribeAnyBatch[H any](topic eventbus.AnyTopic, handle func(H, context.Context, []*eventbus.Envelope) error, options ...eventbus.SubscribeOption) fx.Option {
	return Subscriptions(func(service H) eventbus.Subscription {
		return eventbus.OnAnyBatch(topic, bound(service, handle), options...)
	})
}

// Subscriptions adds the results of constructors: functions that take what they need
// from the container and return an eventbus.Subscription or a slice of them, and
// optionally an error. It is for OnDelete, Upcast, and options that need services.
func Subscriptions(constructors ...any) fx.Option {
	options := make([]fx.Option, len(constructors))
	for i, constructor := range constructors {
		tags, err := resultTags(reflect.TypeOf(constructor))
		if err != nil {
			options[i] = fx.Error(err)
			continue
		}
		options[i] = fx.Provide(fx.Annotate(constructor, fx.ResultTags(tags...)))
	}
	return fx.Options(options...)
}

// resultTags puts each result of a constructor into the group.
func resultTags(constructor reflect.Type) ([]string, error) {
	wrong := fmt.Errorf("fxmodule.Subscriptions takes functions that return eventbus.Subscription or []eventbus.Subscription, and perhaps an error; %v is not one", constructor)
	if constructor == nil || constructor.Kind() != reflect.Func {
		return nil, wrong
	}
	var tags []string
	for i := range constructor.NumOut() {
		switch out := constructor.Out(i); {
		case out == reflect.TypeFor[eventbus.Subscription]():
			tags = append(tags, group)
		case out == reflect.TypeFor[[]eventbus.Subscription]():
			tags = append(tags, `group:"eventbus.subscriptions,flatten"`)
		// fx accepts an error only as the last result.
		case out == reflect.TypeFor[error]() && i > 0 && i == constructor.NumOut()-1:
		default:
			return nil, wrong
		}
	}
	if len(tags) == 0 {
		return nil, wrong
	}
	return tags, nil
}
