// Package naming makes and checks the names of Kafka topics:
// {environment}.{domain}.{scope}.{topic}.{version}, and for each consumer group
// the same with .{group}.dlq or .{group}.retry after it, unless others were chosen.
package naming

import (
	"fmt"
	"strings"
)

// MaxTopicName is the length of the longest topic name that Kafka accepts
// (org.apache.kafka.common.internals.Topic). Kafka uses them in names of files,
// with a partition number after them, and file systems usually allow 255
// characters.
const MaxTopicName = 249

// Environment returns the first segment of topic names in an environment. .NET's
// long names of environments have short segments; other names are used in lower
// case.
func Environment(name string) (string, error) {
	// .NET compares names of environments without regard to case.
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

// SegmentFault returns why s can't be a segment of a topic's name, or "". Capitals
// are refused although Kafka accepts them: people read names that differ only in
// case as one.
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

// Kebab returns a valid segment near a name: order-payment for OrderPayment. It
// returns "" if nothing of the name can be used.
func Kebab(s string) string {
	var b strings.Builder
	// lower says that the last letter was small or a digit: a capital after it
	// begins a word.
	lower := false
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

// CheckTopicName returns why Kafka would refuse a topic's full name. Checked
// here it fails at the start of a service, and not at its first publish.
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

// CheckCollisions returns an error if one of the names differs from one that is
// taken only in '.' and '_'. Kafka lets only one of them exist, because its metrics
// replace one by the other.
func CheckCollisions(taken []string, names ...string) error {
	flat := strings.NewReplacer(".", "_").Replace
	for _, name := range names {
		for _, other := range taken {
			if other != name && flat(other) == flat(name) {
				return fmt.Errorf("topic %q differs from %q, which the bus has, only in '.' and '_', and Kafka lets only one of them exist: rename one", name, other)
			}
		}
	}
	return nil
}
