package naming

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Suffixes of the topics of a group's failures where no names were chosen, with
// {topic}.{group} before them.
const (
	DeadSuffix  = ".dlq"
	RetrySuffix = ".retry"
)

// Marks stand for parts of a chosen name: the environment's segment, the full name of
// the topic that is handled, and the group's.
const (
	EnvironmentMark = "{env}"
	TopicMark       = "{topic}"
	GroupMark       = "{group}"
)

// LedgerTopic keeps what is decided about the dead letters of a cluster.
const LedgerTopic = "eventbus-dead-letters"

// Letters are the topics of a group's failures on a topic.
type Letters struct {
	// Dead is what they are written to. Groups fail on different events, so each has
	// one of its own unless a name that several share was chosen.
	Dead string
	// Retry is the topic through which they are redelivered, to that group alone.
	Retry string
}

// DerivedLetters returns the names that apply where none was chosen.
func DerivedLetters(topic, group string) Letters {
	return Letters{Dead: topic + "." + group + DeadSuffix, Retry: topic + "." + group + RetrySuffix}
}

// ChosenLetters returns the names for a group and a topic, by its full name, in an
// environment, by its segment. dead and retry were chosen, with marks; an empty one
// was not.
func ChosenLetters(env, topic, group, dead, retry string) Letters {
	l := DerivedLetters(topic, group)
	filled := strings.NewReplacer(EnvironmentMark, env, TopicMark, topic, GroupMark, group)
	if dead != "" {
		l.Dead = filled.Replace(dead)
	}
	if retry != "" {
		l.Retry = filled.Replace(retry)
	}
	return l
}

// Derived reports whether both names are those that apply where none was chosen.
func (l Letters) Derived(topic, group string) bool { return l == DerivedLetters(topic, group) }

// CheckChosen returns why a name can't be chosen for a topic of letters, whatever its
// marks stand for.
func CheckChosen(name string) error {
	plain := name
	for _, mark := range []string{EnvironmentMark, TopicMark, GroupMark} {
		plain = strings.ReplaceAll(plain, mark, "x")
	}
	switch {
	case name == "":
		return fmt.Errorf("the name is empty: leave the option out, or write the derived one, %s.%s%s or %s", TopicMark, GroupMark, DeadSuffix, RetrySuffix)
	case strings.ContainsAny(plain, "{}"):
		return fmt.Errorf("the marks are %s, %s and %s", EnvironmentMark, TopicMark, GroupMark)
	}
	return CheckTopicName(plain)
}

// Check returns what is wrong with the names by themselves. They are longer than their
// topic's, so they may be refused where that is not.
func (l Letters) Check(topic, group string) error {
	if group == "" {
		return fmt.Errorf("the consumer group of topic %q is empty", topic)
	}
	var wrong []error
	for _, name := range []string{l.Dead, l.Retry} {
		if err := CheckTopicName(name); err != nil {
			wrong = append(wrong, fmt.Errorf("group %q can't have a topic for its failures, choose another name with Group, DeadLetterTopic or RetryTopic: %w", group, err))
		}
		if name == LedgerTopic || strings.HasPrefix(name, "__") {
			wrong = append(wrong, fmt.Errorf("topic %s has another purpose: choose another name for the failures of group %q", name, group))
		}
	}
	if l.Dead == l.Retry {
		wrong = append(wrong, fmt.Errorf("topic %s is both the dead-letter and the retry topic of group %q: choose two names", l.Dead, group))
	}
	// Programs that read the topics without a declaration would mistake one for the
	// other.
	if IsRetry(l.Dead) {
		wrong = append(wrong, fmt.Errorf("dead-letter topic %s has a name that ends like that of a retry topic: leave out %s", l.Dead, RetrySuffix))
	}
	if IsDead(l.Retry) {
		wrong = append(wrong, fmt.Errorf("retry topic %s has a name that ends like that of a dead-letter topic: leave out %s", l.Retry, DeadSuffix))
	}
	return errors.Join(wrong...)
}

// IsDead reports whether a topic has the name of a dead-letter topic where none was
// chosen.
func IsDead(topic string) bool { return strings.HasSuffix(topic, DeadSuffix) }

// IsRetry reports whether a topic has the name of a retry topic where none was chosen.
func IsRetry(topic string) bool { return strings.HasSuffix(topic, RetrySuffix) }

// RetryOf returns the retry topic that belongs to the name of a dead-letter topic, and
// "" if the name was chosen, which says nothing about the retry topic.
func RetryOf(dead string) string {
	if !IsDead(dead) {
		return ""
	}
	return strings.TrimSuffix(dead, DeadSuffix) + RetrySuffix
}

// OtherEnvironment returns the environment that the first part of a full name stands
// for, if it is a usual one other than env.
func OtherEnvironment(name, env string) string {
	first, _, parts := strings.Cut(name, ".")
	segment, err := Environment(first)
	if !parts || err != nil || segment == env || !slices.Contains([]string{"dev", "test", "stag", "prod"}, segment) {
		return ""
	}
	return segment
}
