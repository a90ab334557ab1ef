package main

import (
	"strconv"

	"github.com/eventbus-go/eventbus"
)

// numbered is the event of all loads except the flights: number Seq of its key. The
// numbers of a key rise, possibly with gaps.
type numbered struct {
	Key uint32 `json:"key"`
	Seq uint32 `json:"seq"`
	// Pad makes events as large as real ones.
	Pad string `json:"pad,omitempty"`
}

// dependent is an event whose handler needs something outside, which may fail.
// It is on the topic of numbered, with keys of its own.
type dependent numbered

// isDependent reports whether a key is one of dependent events, in a load that has
// them: one in eight, so that events that wait for a minute stay within the default
// bounds of parking. The key is shifted by one, since its lowest bit chooses the
// publisher if there are two.
func isDependent(key uint32) bool { return key>>1&7 == 1 }

// isAlternate reports whether an event is of the second type, in a load in which
// types alternate in some keys.
func isAlternate(key, seq uint32) bool { return isDependent(key) && seq%2 == 1 }

// contract is the topic of one scenario. The topic is new for each scenario.
type contract struct {
	// Name is the topic's segment; it has the time in it.
	Name        string `json:"name"`
	Partitions  int32  `json:"partitions"`
	Replication int16  `json:"replication"`
}

// The domain, environment and service of all topics and groups here.
const (
	domain      = "chaos"
	environment = "Test"
	service     = "chaos"
)

// numbered returns the topic of numbered events.
func (c contract) numbered() *eventbus.Topic[numbered] {
	return eventbus.NewTopic(eventbus.TopicConfig[numbered]{
		Domain: domain, Name: c.Name, Partitions: c.Partitions, Replication: c.Replication,
		Key: func(e numbered) string { return keyText(e.Key) },
	})
}

// dependent returns the topic of dependent events: the same Kafka topic, another
// type.
func (c contract) dependent() *eventbus.Topic[dependent] {
	return eventbus.NewTopic(eventbus.TopicConfig[dependent]{
		Domain: domain, Name: c.Name, Partitions: c.Partitions, Replication: c.Replication,
		Key: func(e dependent) string { return keyText(e.Key) },
	})
}

// topic returns the full name.
func (c contract) topic() string { return c.numbered().In(environment) }

// group returns the consumer group, one for each scenario.
func (c contract) group() string { return service + "-" + c.Name }

// letters returns the name of the group's dead-letter topic.
func (c contract) letters() string { return c.topic() + "." + c.group() + ".dlq" }

// retries returns the name of the topic through which dead letters come back.
func (c contract) retries() string { return c.topic() + "." + c.group() + ".retry" }

// all returns the names of all topics of the scenario.
func (c contract) all() []string { return []string{c.topic(), c.letters(), c.retries()} }

// letterPartitions is the number of partitions of both those topics.
const letterPartitions = 4

// keyText returns the record key of a key.
func keyText(key uint32) string { return "key-" + strconv.FormatUint(uint64(key), 10) }
