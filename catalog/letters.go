package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/naming"
)

// Letters are the names that a group chose for the topics of its failures on a topic,
// as eventbus.DeadLetterTopic and eventbus.RetryTopic are written. One that is empty was
// not chosen: it is {topic}.{group}.dlq, or {topic}.{group}.retry.
type Letters struct {
	Group           string `json:"group"`
	DeadLetterTopic string `json:"deadLetterTopic,omitempty"`
	RetryTopic      string `json:"retryTopic,omitempty"`
}

// LetterTopics returns the full names of the topics of a group's failures in an
// environment. The error is that of a name that can't be.
func (t *Topic) LetterTopics(env, group string) (dead, retry string, err error) {
	name, err := t.In(env)
	if err != nil {
		return "", "", err
	}
	segment, err := naming.Environment(env)
	if err != nil {
		return "", "", err
	}
	l := t.letters(segment, name, group)
	return l.Dead, l.Retry, l.Check(name, group)
}

// letters returns the names for a topic of a name, which may lack the environment.
func (t *Topic) letters(env, name, group string) naming.Letters {
	var chosen Letters
	if i := slices.IndexFunc(t.Letters, func(l Letters) bool { return l.Group == group }); i >= 0 {
		chosen = t.Letters[i]
	}
	return naming.ChosenLetters(env, name, group, chosen.DeadLetterTopic, chosen.RetryTopic)
}

// addLetters adds the names that a group chose, and returns false if it has others.
func (t *Topic) addLetters(l Letters) bool {
	for _, own := range t.Letters {
		if own.Group == l.Group {
			return own == l
		}
	}
	t.Letters = append(slices.Clip(t.Letters), l)
	slices.SortFunc(t.Letters, func(a, b Letters) int { return strings.Compare(a.Group, b.Group) })
	return true
}

// checkLetters adds what is wrong with the names that groups chose.
func (t *Topic) checkLetters(wrong *declare.Faults) {
	for i, l := range t.Letters {
		if !slices.Contains(t.Groups, l.Group) {
			wrong.Add("letters", "are of group %q, which is not among groups", l.Group)
		}
		if slices.ContainsFunc(t.Letters[:i], func(o Letters) bool { return o.Group == l.Group }) {
			wrong.Add("letters", "are there twice for group %q", l.Group)
		}
		for _, chosen := range []struct{ field, name string }{{"deadLetterTopic", l.DeadLetterTopic}, {"retryTopic", l.RetryTopic}} {
			if err := naming.CheckChosen(chosen.name); chosen.name != "" && err != nil {
				wrong.Add(chosen.field, "of group %q is %q: %v", l.Group, chosen.name, err)
			}
		}
	}
}

// letters notes where a group's failures go to other topics than before.
func (c *comparison) letters(old, now *Topic) {
	for _, g := range old.Groups {
		// The environment is in both alike.
		was, is := old.letters("", old.Name, g), now.letters("", now.Name, g)
		if was != is && slices.Contains(now.Groups, g) {
			c.add(old.Name+"/"+g, "letters-renamed", Dangerous, fmt.Sprintf("%s, %s", was.Dead, was.Retry), fmt.Sprintf("%s, %s", is.Dead, is.Retry),
				"events that wait in the former retry topic are handled by nobody", "Let the group handle its former retry topic to the end before it chooses another")
		}
	}
}
