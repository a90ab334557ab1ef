package eventbus

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// route chooses the subscription of a record by its topic and CloudEvents type.
// What no subscription takes still has its place in the topic's order.
func (g *group) route(r *transport.Record) engine.Route {
	t := g.routes[r.Topic]
	to := g.routeIn(t, r)
	to.Order = t.shared.order.value
	return to
}

func (g *group) routeIn(t *groupTopic, r *transport.Record) engine.Route {
	if r.Value == nil {
		if t.tombstone == nil {
			return engine.Route{End: engine.Skip, Reason: "tombstone"}
		}
		if r.Key == nil {
			return engine.Route{End: engine.DeadEnd, Reason: letter.ReasonMalformed, Err: errors.New("a record without key and value says nothing")}
		}
		return engine.Route{Subscription: t.tombstone}
	}
	typ, ok := wire.Type(r)
	if !ok {
		var e wire.Event
		err := wire.Decode(r, &e)
		if err == nil {
			err = errors.New("the record has no CloudEvents type")
		}
		return engine.Route{End: engine.DeadEnd, Reason: letter.ReasonMalformed, Err: err}
	}
	if sub := t.types[typ]; sub != nil {
		return engine.Route{Subscription: sub}
	}
	return g.routeUnknown(t, typ)
}

func (g *group) routeUnknown(t *groupTopic, typ string) engine.Route {
	if t.unheard.first(typ) {
		g.bus.config.Logger.Warn("events of a type that no subscription of the group handles", "topic", t.name, "group", g.name, "type", typ)
	}
	switch t.shared.unknown.value {
	case deadLetterUnknown:
		return engine.Route{End: engine.DeadEnd, Reason: letter.ReasonUnknownType, Err: fmt.Errorf("group %q has no handler for type %q", g.name, typ)}
	case failUnknown:
		return engine.Route{End: engine.Hold, Reason: letter.ReasonUnknownType, Err: fmt.Errorf("group %q has no handler for type %q", g.name, typ)}
	}
	return engine.Route{End: engine.Skip, Reason: telemetry.UnknownTypePrefix + typ}
}

// unheardTypes are those that were warned about: once each, and the first few
// only, since another producer may invent one per event.
type unheardTypes struct {
	mu    sync.Mutex
	types map[string]struct{}
}

const mostUnheard = 100

func (u *unheardTypes) first(typ string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.types[typ]; known || len(u.types) >= mostUnheard {
		return false
	}
	if u.types == nil {
		u.types = make(map[string]struct{})
	}
	u.types[strings.Clone(typ)] = struct{}{}
	return true
}
