// Package production declares a topic as production needs it, and its
// configuration.
package production

import (
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
)

// CustomerCreatedTopic says how its topic is kept, so that every cluster has it alike.
var CustomerCreatedTopic = eventbus.NewTopic(eventbus.TopicConfig[sales.CustomerCreated]{
	Domain: "sales", Name: "customer", Plural: true,
	Key:         func(e sales.CustomerCreated) string { return e.CustomerID },
	Partitions:  12, // order ends where partitions are added later: begin with enough
	Replication: 3,
	Retention:   14 * 24 * time.Hour,
	Configs:     map[string]string{"min.insync.replicas": "2"},
	Owner:       "team-sales",
	Description: "One event per new customer.",
})
