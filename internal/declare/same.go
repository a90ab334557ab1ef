package declare

import (
	"errors"
	"fmt"
	"maps"
)

// Described returns a description of the declaration for error messages.
func (d *Topic) Described() string {
	return fmt.Sprintf("%s (key: %s, codec: %s)", d.GoType, d.KeySource, d.CodecName)
}

// SameStorage returns an error that lists where two declarations of one Kafka
// topic disagree. A zero value agrees with every value.
func SameStorage(name string, a, b *Topic) error {
	var wrong []error
	differ := func(what string, x, y any) {
		wrong = append(wrong, fmt.Errorf("topic %s: %s is %v for %s and %v for %s: use one value", name, what, x, a.Typ, y, b.Typ))
	}
	if a.Partitions != 0 && b.Partitions != 0 && a.Partitions != b.Partitions {
		differ("Partitions", a.Partitions, b.Partitions)
	}
	if a.Replication != 0 && b.Replication != 0 && a.Replication != b.Replication {
		differ("Replication", a.Replication, b.Replication)
	}
	if a.Retention != 0 && b.Retention != 0 && a.Retention != b.Retention {
		differ("Retention", a.Retention, b.Retention)
	}
	// A bool has no value for "not set", so both must declare it.
	if a.Compacted != b.Compacted {
		differ("Compacted", a.Compacted, b.Compacted)
	}
	for k, v := range a.Configs {
		if w, ok := b.Configs[k]; ok && v != w {
			differ("Configs["+k+"]", v, w)
		}
	}
	return errors.Join(wrong...)
}

// Merged returns a declaration with the settings of both, which SameStorage has
// compared. a may be nil. Neither is changed.
func Merged(a, b *Topic) *Topic {
	if a == nil {
		return b
	}
	// The copy shares a's maps until the next lines.
	m := *a
	if m.Partitions == 0 {
		m.Partitions = b.Partitions
	}
	if m.Replication == 0 {
		m.Replication = b.Replication
	}
	if m.Retention == 0 {
		m.Retention = b.Retention
	}
	m.Configs = maps.Clone(a.Configs)
	if m.Configs == nil {
		m.Configs = make(map[string]string)
	}
	maps.Copy(m.Configs, b.Configs)
	return &m
}
