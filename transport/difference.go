package transport

import (
	"maps"
	"slices"
	"strconv"
)

// Difference is one respect in which a topic is not as it was to be.
type Difference struct {
	// What is "partitions", "replication" or the name of a configuration.
	What     string `json:"what"`
	Declared string `json:"declared"`
	Actual   string `json:"actual"`
}

// Differences tells where a topic is not as s says, partitions and replication
// first, then configurations by name. What s leaves to the broker is no
// difference, nor is what the broker does not tell.
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
