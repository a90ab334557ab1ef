package declare

import (
	"slices"
	"strconv"

	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/transport"
)

// Kafka's topic configuration for the largest record batch, and its default.
const (
	ConfigMaxMessage  = "max.message.bytes"
	DefaultMaxMessage = 1_048_588
)

// letterOverhead bounds the bytes that a dead letter adds to its record: headers
// that say how it failed, and the stack.
const letterOverhead = 64 << 10

// LetterTopics returns the settings with which the dead-letter topic and the retry topic
// of a group are created, for a topic that the group handles.
//
// They have the number of partitions of their source, and its maximum record size plus
// what a letter adds. Letters are kept without limit: only an operator knows when one is
// no longer needed. A letter is as safe as its event, so min.insync.replicas is that of
// the source.
func LetterTopics(source *transport.TopicSpec, names naming.Letters) (dead, retry transport.TopicSpec) {
	largest, err := strconv.Atoi(source.Configs[ConfigMaxMessage])
	if err != nil {
		largest = DefaultMaxMessage
	}
	spec := func(name string) transport.TopicSpec {
		configs := map[string]string{ConfigCleanupPolicy: "delete", ConfigMaxMessage: strconv.Itoa(largest + letterOverhead)}
		if least := source.Configs[configMinInsync]; least != "" && least != "1" {
			configs[configMinInsync] = least
		}
		return transport.TopicSpec{Name: name, Partitions: source.Partitions, Replication: source.Replication, Configs: configs}
	}
	// Redelivered events keep the broker's retention: they are soon handled, or
	// dead-lettered again.
	dead, retry = spec(names.Dead), spec(names.Retry)
	dead.Configs[ConfigRetention] = "-1"
	return dead, retry
}

// WithLetters adds topics that LetterTopics returned to others. A topic that groups share
// is listed once and fits each of them: it has as many partitions as its largest source,
// and accepts the largest record of any.
func WithLetters(specs []transport.TopicSpec, more ...transport.TopicSpec) []transport.TopicSpec {
	for _, l := range more {
		i := slices.IndexFunc(specs, func(s transport.TopicSpec) bool { return s.Name == l.Name })
		if i < 0 {
			specs = append(specs, l)
			continue
		}
		s := &specs[i]
		s.Partitions, s.Replication = max(s.Partitions, l.Partitions), max(s.Replication, l.Replication)
		for _, config := range []string{ConfigMaxMessage, configMinInsync} {
			a, _ := strconv.Atoi(s.Configs[config])
			if b, _ := strconv.Atoi(l.Configs[config]); b > a {
				s.Configs[config] = l.Configs[config]
			}
		}
	}
	return specs
}

// LedgerTopic stores the decisions about the dead letters of a cluster.
const LedgerTopic = naming.LedgerTopic

// Ledger returns the settings with which LedgerTopic is created. It is as safe as
// source, a topic of events or of dead letters. Every process that decides anything must
// read all its records, so its segments are small and compacted early.
func Ledger(source *transport.TopicSpec) transport.TopicSpec {
	configs := map[string]string{
		ConfigCleanupPolicy:         "compact",
		"segment.bytes":             strconv.Itoa(16 << 20),
		"min.cleanable.dirty.ratio": "0.1",
	}
	if least := source.Configs[configMinInsync]; least != "" && least != "1" {
		configs[configMinInsync] = least
	}
	return transport.TopicSpec{Name: LedgerTopic, Partitions: 1, Replication: source.Replication, Configs: configs}
}
