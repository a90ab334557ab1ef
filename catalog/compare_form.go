package catalog

import (
	"cmp"
	"maps"
)

// form compares what is declared for topics of other programs: the format, the
// partitioner and the addresses. The empty names mean CloudEvents and the Java
// client's partitioner.
func (c *comparison) form(name string, old, now *Topic, keyed bool) {
	if was, is := cmp.Or(old.Format, "cloudevents"), cmp.Or(now.Format, "cloudevents"); was != is {
		c.add(name, "format-changed", Breaking, was, is, "readers take the new records for malformed, and replay the old ones", "Declare a new version of the topic")
	}
	if was, is := cmp.Or(old.Partitioner, "murmur2"), cmp.Or(now.Partitioner, "murmur2"); was != is {
		level, why := Breaking, "keys move to other partitions: events of a key are in two, in no order, and other writers of the topic go on choosing as before"
		if !keyed {
			level, why = Safe, "events without a key have no order to lose"
		}
		c.add(name, "partitioner-changed", level, was, is, why, "Keep the partitioner, or declare a new version of the topic")
	}
	if !maps.Equal(old.Addresses, now.Addresses) {
		c.add(name, "addresses-changed", Breaking, "", "", "in some environment readers and writers have different topics until all are deployed", "Deploy all of them while nothing is published, or allow it with a reason")
	}
}
