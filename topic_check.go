package eventbus

import (
	"net/url"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/wire"
)

// checkAttributes checks what every event of the topic will carry.
func checkAttributes(wrong *faults, typ, dataSchema string) {
	if err := wire.CheckText(typ); err != nil {
		wrong.add("Type", "%v: write a plain name such as %q", err, "CustomerCreated")
	}
	if dataSchema == "" {
		return
	}
	// CloudEvents 1.0.2, 3.1: dataschema is a URI, so it has a scheme.
	if u, err := url.Parse(dataSchema); err != nil || !u.IsAbs() || wire.CheckText(dataSchema) != nil {
		wrong.add("DataSchema", "%q is no absolute URI: write for example %q", dataSchema, "https://schemas.example.com/customer-created.json")
	}
}

// checkStorage checks how the topic is to be kept.
func checkStorage(wrong *faults, d *topicDeclaration) {
	if d.partitions < 0 {
		wrong.add("Partitions", "is %d: write at least 1, or leave it out for the broker's default", d.partitions)
	}
	if d.replication < 0 {
		wrong.add("Replication", "is %d: write at least 1, or leave it out for the broker's default", d.replication)
	}
	if d.retention > 0 && d.retention < time.Millisecond {
		wrong.add("Retention", "is %v, and Kafka counts in milliseconds: write at least time.Millisecond", d.retention)
	}
	if value, ok := d.configs[configRetention]; ok && d.retention != 0 {
		wrong.add("Configs", "sets %s to %q and Retention is %v: keep Retention", configRetention, value, d.retention)
	}
	if value, ok := d.configs[configCleanupPolicy]; ok && (d.compacted || strings.Contains(value, "compact")) {
		wrong.add("Configs", "sets %s to %q: write Compacted: true instead, with a Retention for \"compact,delete\"", configCleanupPolicy, value)
	}
	if _, ok := d.configs[""]; ok {
		wrong.add("Configs", "has an entry without a name")
	}
}
