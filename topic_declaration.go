package eventbus

import (
	"maps"
	"reflect"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/naming"
)

// declarationOf checks a configuration and makes the declaration of it, without key
// and codec.
func declarationOf[T any](c *TopicConfig[T]) (d declare.Topic, wrong declare.Faults) {
	t := reflect.TypeFor[T]()
	d = declare.Topic{
		Domain: c.Domain, Name: c.Name, Scope: c.Scope.String(), Typ: c.Type, GoType: t.String(),
		Partitions: c.Partitions, Replication: c.Replication, Retention: c.Retention, Compacted: c.Compacted,
		Configs: maps.Clone(c.Configs), Description: c.Description, Owner: c.Owner, DataSchema: c.DataSchema,
	}
	declare.CheckSegment(&wrong, "Domain", c.Domain, "sales")
	declare.CheckSegment(&wrong, "Name", c.Name, "order-payment")
	if c.Plural && naming.SegmentFault(c.Name) == "" {
		d.Name = naming.Plural(c.Name)
	}
	if c.Scope != Public && c.Scope != Internal {
		wrong.Add("Scope", "is %d: use eventbus.Public or eventbus.Internal", c.Scope)
	}
	d.Version = declare.DeclareVersion(&wrong, c.Version, c.Unversioned)
	if d.Typ == "" {
		d.Typ = declare.DeclareType(&wrong, t)
	}
	declare.CheckAttributes(&wrong, d.Typ, c.DataSchema)
	declare.CheckStorage(&wrong, &d)

	d.Suffix = d.Joined()
	if most := naming.MaxTopicName - len("prod."); len(d.Suffix) > most {
		wrong.Add("Domain and Name", "make a topic name of %d characters with the environment, Kafka takes %d: shorten them", len(d.Suffix)+len("prod."), naming.MaxTopicName)
	}
	return d, wrong
}
