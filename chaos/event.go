package main

import (
	"strconv"

	"github.com/eventbus-go/eventbus"
)

// numbered is the event of all loads but the flights: the seq-th of its key.
// Numbers of one key rise, maybe with gaps.
type numbered struct {
	Key uint32 `json:"key"`
	Seq uint32 `json:"seq"`
	// Pad makes events as large as they are in life.
	Pad string `json:"pad,omitempty"`
}

// dependent is an event whose handler needs something outside, which may fail. It
// is on numbered's topic, with keys of its own.
type dependent numbered

// isDependent tells which keys those are, where a load has them: one in eight, so
// that what waits for a minute stays within the default bounds of parking.
func isDependent(key uint32) bool { return key>>1&7 == 1 }

// contract is the topic of one scenario.
type contract struct {
	Name        string `json:"name"`
	Partitions  int32  `json:"partitions"`
	Replication int16  `json:"replication"`
}

// The domain and the environment of all topics here.
const (
	domain      = "chaos"
	environment = "Test"
	service     = "chaos"
)

func (c contract) numbered() *eventbus.Topic[numbered] {
	return eventbus.NewTopic(eventbus.TopicConfig[numbered]{
		Domain: domain, Name: c.Name, Partitions: c.Partitions, Replication: c.Replication,
		Key: func(e numbered) string { return keyText(e.Key) },
	})
}

func (c contract) dependent() *eventbus.Topic[dependent] {
	return eventbus.NewTopic(eventbus.TopicConfig[dependent]{
		Domain: domain, Name: c.Name, Partitions: c.Partitions, Replication: c.Replication,
		Key: func(e dependent) string { return keyText(e.Key) },
	})
}

// topic is the full name.
func (c contract) topic() string { return c.numbered().In(environment) }

// group is the consumer group that handles it: one for each scenario.
func (c contract) group() string { return service + "-" + c.Name }

// letters is the topic of the group's dead letters.
func (c contract) letters() string { return c.topic() + "." + c.group() + ".dlq" }

// retries is the topic through which they come back.
func (c contract) retries() string { return c.topic() + "." + c.group() + ".retry" }

func (c contract) all() []string { return []string{c.topic(), c.letters(), c.retries()} }

// letterPartitions is how many partitions they have.
const letterPartitions = 4

func keyText(key uint32) string { return "key-" + strconv.FormatUint(uint64(key), 10) }
