package naming

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	pluralize "github.com/gertd/go-pluralize"

	"github.com/eventbus-go/eventbus/internal/letter"
)

// maxTopicName is the longest name that Kafka takes for a topic.
const MaxTopicName = 249

// environment returns the first part of topic names in an environment.
func Environment(name string) (string, error) {
	segment := strings.ToLower(name)
	switch segment {
	case "development":
		return "dev", nil
	case "production":
		return "prod", nil
	case "staging":
		return "stag", nil
	}
	if why := SegmentFault(segment); why != "" {
		return "", fmt.Errorf("environment %q %s: use a name such as Development, Production, Test, Staging or eu-west-1", name, why)
	}
	return segment, nil
}

// segmentFault tells why s can't stand between two dots of a topic's name: it
// would leave Kafka's charset, or the dots would not separate any more.
func SegmentFault(s string) string {
	if s == "" {
		return "is empty"
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
		case r >= 'A' && r <= 'Z':
			return "has capital letters"
		case r == '.':
			return "has a dot, which separates the parts of a name"
		default:
			return fmt.Sprintf("has the character %q (a-z, 0-9, - and _ are allowed)", r)
		}
	}
	return ""
}

// kebab proposes a segment for a name: OrderPayment becomes order-payment.
func Kebab(s string) string {
	var b strings.Builder
	lower := false // the last letter was small or a digit
	for _, r := range s {
		switch {
		case r >= 'A' && r <= 'Z':
			if lower {
				b.WriteByte('-')
			}
			r += 'a' - 'A'
			lower = false
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			lower = true
		default:
			r, lower = '-', false
		}
		b.WriteRune(r)
	}
	parts := strings.FieldsFunc(b.String(), func(r rune) bool { return r == '-' })
	return strings.Join(parts, "-")
}

// inflection knows English plurals. Building it takes about a millisecond, which
// only programs with a plural topic spend; its methods are safe for concurrent use.
var inflection = sync.OnceValue(pluralize.NewClient)

// plural puts the last word of a name into the plural.
func Plural(name string) string {
	last := strings.LastIndexAny(name, "-_") + 1
	return name[:last] + inflection().Plural(name[last:])
}

// checkTopicName tells why Kafka would refuse a topic's whole name.
func CheckTopicName(name string) error {
	if len(name) > MaxTopicName {
		return fmt.Errorf("topic name %q has %d characters, Kafka takes %d: shorten its parts", name, len(name), MaxTopicName)
	}
	if name == "" || name == "." || name == ".." {
		return fmt.Errorf("topic name %q is not allowed by Kafka", name)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_' {
			return fmt.Errorf("topic name %q has the character %q, Kafka takes letters, digits, '.', '_' and '-'", name, r)
		}
	}
	return nil
}

// deadLetterTopic and retryTopic are the topics that a group's failures on a
// topic go to, and come back through.
func DeadLetterTopic(topic, group string) string { return topic + "." + group + letter.DeadSuffix }

func RetryTopic(topic, group string) string { return topic + "." + group + letter.RetrySuffix }

// checkDerivedNames tells why a group can't have its dead-letter and retry
// topics for a topic.
func CheckDerivedNames(topic, group string) error {
	if group == "" {
		return fmt.Errorf("the consumer group of topic %q is empty", topic)
	}
	for _, name := range []string{DeadLetterTopic(topic, group), RetryTopic(topic, group)} {
		if err := CheckTopicName(name); err != nil {
			return fmt.Errorf("group %q can't have a topic for its failures, choose another name with Group: %w", group, err)
		}
	}
	return nil
}

// checkCollisions tells which two of the names differ in '.' and '_' alone:
// Kafka lets only one of them exist, for the sake of its metrics' names.
func CheckCollisions(names ...string) error {
	seen := make(map[string]string, len(names))
	for _, name := range slices.Sorted(slices.Values(names)) {
		flat := strings.ReplaceAll(name, ".", "_")
		if other, ok := seen[flat]; ok && other != name {
			return fmt.Errorf("topics %q and %q differ only in '.' and '_', and Kafka lets only one of them exist: rename one", other, name)
		}
		seen[flat] = name
	}
	return nil
}
