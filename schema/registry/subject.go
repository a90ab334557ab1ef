package registry

import (
	"errors"
	"strings"
)

// Strategy names the subject of a topic's schemas.
type Strategy int

// The strategies, by Confluent's names.
const (
	// TopicRecordName is {topic}-{record}: a topic carries several types, and a type's
	// history on one topic does not bind it on another. It is the default.
	TopicRecordName Strategy = iota
	// RecordName is {record}: one history wherever the type goes.
	RecordName
	// TopicName is {topic}-value: a topic carries one type.
	TopicName
)

var errNoTopic = errors.New("the subject is named after the topic, which only a bus knows: use Publish or Publisher.Envelope, or the strategy RecordName")

// Subject returns the subject of a record on a topic.
func (o *Options) Subject(topic, record string) (string, error) {
	if o.Strategy == RecordName {
		return record, nil
	}
	if topic == "" {
		return "", errNoTopic
	}
	// The environment is the part of the topic's name before the first dot.
	if o.OmitEnvironment {
		if _, rest, ok := strings.Cut(topic, "."); ok {
			topic = rest
		}
	}
	if o.Strategy == TopicName {
		return topic + "-value", nil
	}
	return topic + "-" + record, nil
}
