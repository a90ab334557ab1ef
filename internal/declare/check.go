package declare

import (
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/wire"
)

// CheckAttributes checks the attributes that every event of the topic carries.
// An invalid one would make each of its publishes fail.
func CheckAttributes(wrong *Faults, typ, dataSchema string) {
	if err := wire.CheckText(typ); err != nil {
		wrong.Add("Type", "%v: write a plain name such as %q", err, "CustomerCreated")
	}
	if len(typ) > maxType {
		wrong.Add("Type", "has %d bytes, and at most %d can be: write a plain name such as %q", len(typ), maxType, "CustomerCreated")
	}
	if dataSchema == "" {
		return
	}
	if err := wire.CheckURI(dataSchema); err != nil {
		wrong.Add("DataSchema", "%q %v: write for example %q", dataSchema, err, "https://schemas.example.com/customer-created.json")
	}
}

// maxType bounds a type, in bytes. Members of a group do not ask each other about longer
// ones, which a foreign producer may write.
const maxType = 256

// CheckContentType checks the content type that a codec declares. It becomes the
// datacontenttype of every event of the topic; empty leaves that unset.
func CheckContentType(wrong *Faults, contentType string) {
	if contentType == "" {
		return
	}
	if err := wire.CheckMediaType(contentType); err != nil {
		wrong.Add("Codec", "has the ContentType %q, which %v: write for example %q", contentType, err, "application/json")
	}
}

// CheckStorage checks the storage settings of the topic. A setting that two fields
// express is refused instead of resolved: no reader could see which one counts.
func CheckStorage(wrong *Faults, d *Topic) {
	if d.Partitions < 0 {
		wrong.Add("Partitions", "is %d: write at least 1, or leave it out for the broker's default", d.Partitions)
	}
	if d.Replication < 0 {
		wrong.Add("Replication", "is %d: write at least 1, or leave it out for the broker's default", d.Replication)
	}
	if d.Retention > 0 && d.Retention < time.Millisecond {
		wrong.Add("Retention", "is %v, and Kafka counts in milliseconds: write at least time.Millisecond", d.Retention)
	}
	if value, ok := d.Configs[ConfigRetention]; ok && d.Retention != 0 {
		wrong.Add("Configs", "sets %s to %q and Retention is %v: keep Retention", ConfigRetention, value, d.Retention)
	}
	if value, ok := d.Configs[ConfigCleanupPolicy]; ok && (d.Compacted || strings.Contains(value, "compact")) {
		wrong.Add("Configs", "sets %s to %q: write Compacted: true instead, with a Retention for \"compact,delete\"", ConfigCleanupPolicy, value)
	}
	if _, ok := d.Configs[""]; ok {
		wrong.Add("Configs", "has an entry without a name")
	}
}
