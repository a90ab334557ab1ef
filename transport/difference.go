package transport

import (
	"maps"
	"slices"
	"strconv"
)

// Difference is one respect in which a topic differs from its declaration.
type Difference struct {
	// What is "partitions", "replication" or the name of a configuration.
	What string `json:"what"`
	// Declared is the value in the TopicSpec.
	Declared string `json:"declared"`
	// Actual is the value in the cluster.
	Actual string `json:"actual"`
}

// Differences returns where a topic differs from s: partitions and replication first, then
// configurations by name. It does not compare fields that s leaves to the broker, or
// configurations that the broker did not return. It returns nil if there is no difference.
func (s *TopicSpec) Differences(is *TopicInfo) []Difference {
	var found []Difference
	number := func(what string, declared, actual int) {
		if declared > 0 && declared != actual {
			found = append(found, Difference{what, strconv.Itoa(declared), strconv.Itoa(actual)})
		}
	}
	number("partitions", int(s.Partitions), int(is.Partitions))
	number("replication", int(s.Replication), int(is.Replication))
	for _, name := range slices.Sorted(maps.Keys(s.Configs)) {
		if actual, told := is.Configs[name]; told && actual != s.Configs[name] {
			found = append(found, Difference{name, s.Configs[name], actual})
		}
	}
	return found
}
