package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/naming"
)

// Letters are the names that a group chose for its dead-letter and retry topics of a
// topic, in the form of eventbus.DeadLetterTopic and eventbus.RetryTopic. An empty name
// was not chosen: it is {topic}.{group}.dlq, or {topic}.{group}.retry.
type Letters struct {
	Group           string `json:"group"`
	DeadLetterTopic string `json:"deadLetterTopic,omitempty"`
	RetryTopic      string `json:"retryTopic,omitempty"`
}

// LetterTopics returns the full names of a group's dead-letter and retry topics in an
// environment. It returns an error if the environment or a name is invalid.
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

// letters returns the names of a group's letter topics. name is the topic's name, with
// or without the environment.
func (t *Topic) letters(env, name, group string) naming.Letters {
	var chosen Letters
	if i, found := slices.BinarySearchFunc(t.Letters, group, func(l Letters, group string) int { return strings.Compare(l.Group, group) }); found {
		chosen = t.Letters[i]
	}
	return naming.ChosenLetters(env, name, group, chosen.DeadLetterTopic, chosen.RetryTopic)
}

// addLetters adds the names that groups chose, and returns those that conflict with
// other names of the same group.
func (t *Topic) addLetters(all []Letters) (other []Letters) {
	own := make(map[string]Letters, len(t.Letters)+len(all))
	for _, l := range t.Letters {
		own[l.Group] = l
	}
	t.Letters = slices.Clip(t.Letters)
	for _, l := range all {
		if is, found := own[l.Group]; !found {
			own[l.Group], t.Letters = l, append(t.Letters, l)
		} else if is != l {
			other = append(other, l)
		}
	}
	t.sortLetters()
	return other
}

// sortLetters sorts Letters by group, for the binary search in letters.
func (t *Topic) sortLetters() {
	t.Letters = slices.Clone(t.Letters)
	slices.SortFunc(t.Letters, func(a, b Letters) int { return strings.Compare(a.Group, b.Group) })
}

// checkLetters adds what is wrong with the names that groups chose.
func (t *Topic) checkLetters(wrong *declare.Faults) {
	// A map, since a document may have very many groups.
	groups := make(map[string]bool, len(t.Groups)) // whether Letters names the group
	for _, g := range t.Groups {
		groups[g] = false
	}
	for _, l := range t.Letters {
		has, known := groups[l.Group]
		if !known {
			wrong.Add("letters", "are of group %q, which is not among groups", l.Group)
		}
		if has {
			wrong.Add("letters", "are there twice for group %q", l.Group)
		}
		if known {
			groups[l.Group] = true
		}
		for _, chosen := range []struct{ field, name string }{{"deadLetterTopic", l.DeadLetterTopic}, {"retryTopic", l.RetryTopic}} {
			if err := naming.CheckChosen(chosen.name); chosen.name != "" && err != nil {
				wrong.Add(chosen.field, "of group %q is %q: %v", l.Group, chosen.name, err)
			}
		}
	}
}

// letters adds a change for each remaining group whose dead-letter or retry topic
// changed.
func (c *comparison) letters(old, now *Topic) {
	remains := groupSet(now.Groups)
	for _, g := range old.Groups {
		// Both names lack the environment.
		was, is := old.letters("", old.Name, g), now.letters("", now.Name, g)
		if was != is && remains[g] {
			c.add(old.Name+"/"+g, "letters-renamed", Dangerous, fmt.Sprintf("%s, %s", was.Dead, was.Retry), fmt.Sprintf("%s, %s", is.Dead, is.Retry),
				"events that wait in the former retry topic, or come back through it, are handled by nobody", "Replay or skip the letters that are open or in quarantine, and let the group handle its former retry topic to the end, before it chooses another")
		}
	}
}

func groupSet(groups []string) map[string]bool {
	set := make(map[string]bool, len(groups))
	for _, g := range groups {
		set[g] = true
	}
	return set
}
