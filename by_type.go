package eventbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/eventbus-go/eventbus/internal/declare"
)

// typeTable has the topics of Config.Topics by the Go types of their events. It never changes.
type typeTable map[reflect.Type]AnyTopic

// newTypeTable returns the table of topics. It is an error if two of them declare the same type,
// since an event's type must choose one topic.
func newTypeTable(topics []AnyTopic) (typeTable, error) {
	table := make(typeTable, len(topics))
	var wrong []error
	for i, t := range topics {
		if t == nil || t.Declaration() == nil {
			wrong = append(wrong, fmt.Errorf("topic %d of Topics is nil", i+1))
			continue
		}
		d := t.Declaration()
		goType := d.Samples.Type
		if other := table[goType]; other != nil && other != t {
			wrong = append(wrong, fmt.Errorf("%s is in Topics twice, on %s and on %s: an event's Go type chooses its topic, so leave one out and use a Publisher and On for it",
				goType, subjectOf(other.Declaration()), subjectOf(d)))
			continue
		}
		table[goType] = t
	}
	return table, errors.Join(wrong...)
}

// subjectOf returns a declaration's topic and type, for errors.
func subjectOf(d *declare.Topic) string { return d.Suffix + " " + d.Typ }

// of returns the topic of a Go type. If there is none, the error names types that were perhaps
// meant: those of the same name, and those that differ by a pointer.
func (t typeTable) of(goType reflect.Type) (AnyTopic, error) {
	if goType == nil {
		return nil, errors.New("the event is nil")
	}
	if topic := t[goType]; topic != nil {
		return topic, nil
	}
	if len(t) == 0 {
		return nil, fmt.Errorf("no topic is known for events of %s: set Config.Topics to the topics of the contracts", goType)
	}
	var near []string
	for other := range t {
		if other.Name() == goType.Name() && other.Name() != "" || other.Kind() == reflect.Pointer && other.Elem() == goType || goType.Kind() == reflect.Pointer && goType.Elem() == other {
			near = append(near, other.String())
		}
	}
	text := ""
	if len(near) > 0 {
		text = "; it has " + strings.Join(near, ", ")
	}
	return nil, fmt.Errorf("no topic of Config.Topics declares %s%s: declare one, or use a Publisher and On", goType, text)
}

// Publish publishes an event to the topic that [Config].Topics declares for its Go type or, if
// it is a pointer, for the type to which it points. Without such a topic it returns an error and
// publishes nothing. Otherwise it is like Publisher.PublishWith. It is safe for concurrent use. A
// service that publishes one type should use a Publisher, which rejects other types at compile
// time.
func Publish(ctx context.Context, bus *Bus, event any, options ...PublishOption) error {
	if bus == nil {
		return &Error{Op: "publish", Err: errors.New("the bus is nil")}
	}
	v := reflect.ValueOf(event)
	topic, err := bus.byType.of(reflect.TypeOf(event))
	if err != nil && v.Kind() == reflect.Pointer && !v.IsNil() {
		if pointed := bus.byType[v.Type().Elem()]; pointed != nil {
			topic, event, err = pointed, v.Elem().Interface(), nil
		}
	}
	if err != nil {
		return &Error{Op: "publish", Err: err}
	}
	return topic.publish(ctx, bus, event, options)
}

// publish implements AnyTopic. The event must be a T.
func (t *Topic[T]) publish(ctx context.Context, bus *Bus, event any, options []PublishOption) error {
	return NewPublisher(bus, t).PublishWith(ctx, event.(T), options...)
}

// Handle returns a subscription of a handler to the topic that the bus's [Config].Topics declares
// for T. With On the caller names the topic instead. If no topic declares T, Bus.Add returns an
// error.
func Handle[T any](handler func(context.Context, T) error, options ...SubscribeOption) Subscription {
	s := &subscription{options: options}
	s.resolve = func(table typeTable) error {
		topic, err := table.of(reflect.TypeFor[T]())
		if err != nil {
			return fmt.Errorf("a handler: %w", err)
		}
		on := On(topic.(*Topic[T]), handler, options...).s
		s.decl, s.handle, s.err, s.resolve = on.decl, on.handle, on.err, nil
		return nil
	}
	return Subscription{s}
}

// complete finds the topic of a subscription made by Handle. For any subscription it returns the
// reason why it can't be added, or nil.
func (b *Bus) complete(s *subscription) error {
	if s.resolve != nil {
		if err := s.resolve(b.byType); err != nil {
			return err
		}
	}
	return s.err
}

// errUnresolved is the error of Subscription.Handle before the subscription has a bus.
var errUnresolved = errors.New("a subscription made by Handle has no topic before it is added to a bus: use On")
