package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Compare returns the differences between two documents, the worst first. Services
// that were built with the old declarations read the new events, and services with
// the new ones read the old events that a topic keeps: a change is safe only if both
// work. Compare modifies neither document.
func Compare(old, now *Document) []Change {
	// Names are visited in sorted order, so equal documents give equal lists.
	c := new(comparison)
	was, is := byName(old.Topics, topicName), byName(now.Topics, topicName)
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if t := is[name]; t != nil {
			c.topic(was[name], t)
		} else {
			c.removed(was[name], now)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if was[name] == nil {
			// No group of the old document handles a new topic.
			c.groups = nil
			c.add(name, "topic-added", Safe, "", name, "nobody reads it yet", "")
		}
	}
	// Stable, so that the changes of one path stay in the order in which they were
	// found.
	slices.SortStableFunc(c.changes, func(a, b Change) int {
		return cmp.Or(a.Level.rank()-b.Level.rank(), strings.Compare(a.Path, b.Path))
	})
	return c.changes
}

func topicName(t *Topic) string { return t.Name }

// byName returns pointers into all, by name. Names are unique in a checked
// document.
func byName[T any](all []T, name func(*T) string) map[string]*T {
	m := make(map[string]*T, len(all))
	for i := range all {
		m[name(&all[i])] = &all[i]
	}
	return m
}

// comparison collects the changes. groups are the groups that handled the topic that
// is being compared.
type comparison struct {
	changes []Change
	groups  []string
}

// add adds a change. Safe changes name no groups, since nobody has to be asked.
func (c *comparison) add(path, rule string, level Level, old, now, why, fix string) {
	change := Change{Path: path, Rule: rule, Level: level, Old: old, New: now, Why: why, Fix: fix}
	if level != Safe {
		change.Groups = c.groups
	}
	c.changes = append(c.changes, change)
}

// removed adds the change of a removed topic. If there is a topic with another scope
// or version in its place, that is the likely cause, and the change says so; for
// readers it is the same.
func (c *comparison) removed(t *Topic, now *Document) {
	c.groups = t.Groups
	rule, why, next := "topic-removed", "its readers get no more events", ""
	for i := range now.Topics {
		n := &now.Topics[i]
		switch {
		case n.Domain == t.Domain && n.Topic == t.Topic && n.Version == t.Version && n.Scope != t.Scope:
			rule, next = "scope-narrowed", n.Name
			why = "the scope is a part of the topic's name, so readers of the old one get no more events"
			if t.Scope == "internal" {
				rule = "scope-widened"
			}
		// A move to another scope explains the removal better than a new version.
		case rule == "topic-removed" && n.Domain == t.Domain && n.Topic == t.Topic && n.Scope == t.Scope:
			rule, next = "version-removed", n.Name
			why = "readers of the old version get no more events"
		}
	}
	c.add(t.Name, rule, Breaking, t.Name, next, why, "Keep the declaration until no group handles it, and publish to both meanwhile")
}

// topic compares two topics of one name: their storage, groups and types.
func (c *comparison) topic(old, now *Topic) {
	c.groups = old.Groups
	name := old.Name
	// The old keys decide: moving to another partition can break the order only of
	// events that were published with a key.
	keyed := slices.ContainsFunc(old.Events, func(e Event) bool { return e.Key.Source != NoKey })
	c.partitions(name, old.Partitions, now.Partitions, keyed)
	c.form(name, old, now, keyed)
	// A value that one side leaves to the broker can't be compared, since the default
	// is unknown.
	switch o, n := old.Replication, now.Replication; {
	case o == n:
	case o == 0 || n == 0:
		c.add(name, "replication-unknown", Undecided, number(o), number(n), "one of them is the broker's default, which is not known here", "Declare both")
	case n < o:
		c.add(name, "replication-lowered", Dangerous, number(o), number(n), "fewer copies survive fewer broken brokers", "Keep three copies where events may not be lost")
	default:
		c.add(name, "replication-raised", Safe, number(o), number(n), "more copies", "")
	}
	c.retention(name, old.RetentionMs, now.RetentionMs)
	switch {
	case !old.Compacted && now.Compacted:
		c.add(name, "compaction-on", Breaking, "delete", "compact", "earlier events of a key vanish, and readers that need each one miss them", "Declare a new version of the topic")
	case old.Compacted && !now.Compacted:
		c.add(name, "compaction-off", Breaking, "compact", "delete", "the last event of a key vanishes after the retention, and readers that build a state from the topic lose it", "Declare a new version of the topic")
	}
	c.configs(name, old.Configs, now.Configs)
	if old.Owner != now.Owner {
		c.add(name, "owner-changed", Safe, old.Owner, now.Owner, "for people only", "")
	}
	c.handlers(name, old.Groups, now.Groups)
	c.letters(old, now)
	// Changes of the whole topic come before those of its types.
	c.events(name, old.Events, now.Events)
}

// number returns a number for people; zero is the broker's default.
func number[I int32 | int16 | int64](n I) string {
	if n == 0 {
		return "the broker's default"
	}
	return strconv.FormatInt(int64(n), 10)
}

// partitions compares the numbers of partitions. A record's partition is its key's
// hash modulo that number, so raising it moves keys.
func (c *comparison) partitions(name string, old, now int32, keyed bool) {
	switch {
	case old == now:
	case old == 0 || now == 0:
		c.add(name, "partitions-unknown", Undecided, number(old), number(now), "one of them is the broker's default, which is not known here", "Declare both")
	case now < old:
		c.add(name, "partitions-lowered", Breaking, number(old), number(now), "Kafka can't take partitions away: the topic stays as it is, or is made again without its events", "Declare a new version of the topic")
	case keyed:
		c.add(name, "partitions-raised", Dangerous, number(old), number(now), "keys move to other partitions: events of a key that are under way may be handled out of order, once", "Raise them while the topic is drained, or declare a new version")
	default:
		c.add(name, "partitions-raised", Safe, number(old), number(now), "events without a key have no order to lose", "")
	}
}

// retention compares retention times in milliseconds; −1 means unlimited.
func (c *comparison) retention(name string, old, now int64) {
	switch {
	case old == now:
	case old == 0 || now == 0:
		c.add(name, "retention-unknown", Undecided, period(old), period(now), "one of them is the broker's default, which is not known here", "Declare both")
	// From "without end" every limit is shorter; to it, none is.
	case old == -1 || now != -1 && now < old:
		c.add(name, "retention-shortened", Breaking, period(old), period(now), "events vanish before readers that are behind, or replay, get to them", "Ask the readers how far back they go")
	default:
		c.add(name, "retention-extended", Safe, period(old), period(now), "events stay longer", "")
	}
}

// configs compares topic configurations by their Kafka names. It understands two of
// them; a change of any other is undecided.
func (c *comparison) configs(name string, old, now map[string]string) {
	all := maps.Clone(now)
	// Clone returns nil for nil, and Copy would panic.
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, old)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		o, n := old[key], now[key]
		if o == n {
			continue
		}
		// A missing value means the broker's default, so values are compared only if
		// both are numbers.
		from, err1 := strconv.ParseInt(o, 10, 64)
		to, err2 := strconv.ParseInt(n, 10, 64)
		numbers := err1 == nil && err2 == nil
		path := name + "/" + key
		switch {
		case numbers && key == "max.message.bytes" && to > from:
			c.add(path, "config-changed", Safe, o, n, "larger events are taken", "")
		case numbers && key == "max.message.bytes":
			c.add(path, "config-changed", Breaking, o, n, "events that were taken are refused now", "Lower it when no publisher sends larger ones, nor has any under way")
		case numbers && key == "min.insync.replicas" && to > from:
			c.add(path, "config-changed", Dangerous, o, n, "publishing stops with fewer broken brokers", "Raise the replication with it")
		case numbers && key == "min.insync.replicas":
			c.add(path, "config-changed", Dangerous, o, n, "an event may be lost with fewer broken brokers", "Keep it at two or more")
		default:
			c.add(path, "config-changed", Undecided, o, n, "what this configuration means to readers is not known here", "Allow it with a reason")
		}
	}
}

// handlers compares the groups of two documents of a bus. A change of readers does not
// affect the others, so it is always safe.
func (c *comparison) handlers(name string, old, now []string) {
	was, is := groupSet(old), groupSet(now)
	for _, g := range old {
		if !is[g] {
			c.add(name+"/"+g, "group-removed", Safe, g, "", "the group no longer handles the topic", "")
		}
	}
	for _, g := range now {
		if !was[g] {
			c.add(name+"/"+g, "group-added", Safe, "", g, "another group handles the topic", "")
		}
	}
}

// events compares the types on a topic. A removed and an added type with the same Go
// type count as a renaming.
func (c *comparison) events(name string, old, now []Event) {
	typ := func(e *Event) string { return e.Type }
	was, is := byName(old, typ), byName(now, typ)
	// Each new type succeeds at most one old type: otherwise a removal could be
	// hidden.
	renamed := make(map[string]bool)
	for _, t := range slices.Sorted(maps.Keys(was)) {
		path := name + "/" + t
		if e := is[t]; e != nil {
			c.event(path, was[t], e)
			continue
		}
		successor := ""
		for _, n := range slices.Sorted(maps.Keys(is)) {
			// Types without a schema may share a Go type such as []byte, which proves
			// nothing.
			if was[n] == nil && !renamed[n] && len(was[t].Schema) > 0 && is[n].GoType == was[t].GoType {
				successor = n
			}
		}
		if successor != "" {
			renamed[successor] = true
			c.add(path, "type-renamed", Breaking, t, successor, "readers handle events by their type, and skip the new one", "Set TopicConfig.Type to the old name")
			continue
		}
		c.add(path, "type-removed", Breaking, t, "", "readers that handle the type wait for events that never come", "Keep the declaration until no group handles the type. If only its Go type has another name, set TopicConfig.Type to the old one")
	}
	for _, t := range slices.Sorted(maps.Keys(is)) {
		if was[t] == nil && !renamed[t] {
			c.add(name+"/"+t, "type-added", Safe, "", t, "readers skip types that they don't handle", "")
		}
	}
}

// event compares two declarations of one type.
func (c *comparison) event(path string, old, now *Event) {
	if old.GoType != now.GoType {
		c.add(path, "go-type-changed", Safe, old.GoType, now.GoType, "readers see the type of the event, which is the same", "")
	}
	if old.Description != now.Description {
		c.add(path, "description-changed", Safe, old.Description, now.Description, "for people only", "")
	}
	if old.DataSchema != now.DataSchema {
		c.add(path, "dataschema-changed", Dangerous, old.DataSchema, now.DataSchema, "readers may look for the schema by its URI", "Serve the schema at both until no reader asks for the old one")
	}
	if old.Published && !now.Published {
		c.add(path, "no-longer-published", Dangerous, "published", "", "the service no longer publishes it", "Tell the groups that handle it, and remove their handlers first")
	}
	if old.ContentType != now.ContentType {
		c.add(path, "content-type-changed", Breaking, old.ContentType, now.ContentType, "readers can't read the data any more", "Declare a new version of the topic")
		// Keys and schemas of different formats can't be compared.
		return
	}
	c.key(path, &old.Key, &now.Key)
	// The content type is the same, so both schemas are in the same language.
	c.schemas(path, old, now)
}

// key compares where keys come from. If a function makes them, only the keys of
// examples show whether it still makes the same ones.
func (c *comparison) key(path string, old, now *Key) {
	const boundary = "events of one thing go to another partition than its earlier ones: the order breaks for all that is under way, and compaction keeps both"
	const fix = "Keep the key, or declare a new version of the topic"
	// Example keys come from generated events and from TopicConfig.Examples, so lists
	// of different lengths are of different values, and prove nothing. Otherwise,
	// different keys prove a break, and equal ones that these values have the same
	// keys.
	examples := "not known"
	if len(old.Examples) > 0 && len(old.Examples) == len(now.Examples) {
		examples = "the same"
		if !slices.Equal(old.Examples, now.Examples) {
			examples = "others"
		}
	}
	switch {
	case old.Source == NoKey && now.Source != NoKey:
		c.add(path, "key-added", Dangerous, "none", now.text(), "events get an order that they did not have, and go to fewer partitions", "See that no key has so many events that its partition falls behind")
	case old.Source != NoKey && now.Source == NoKey:
		c.add(path, "key-removed", Breaking, old.text(), "none", "events lose their order", fix)
	// The order of fields counts: the key is their values joined in that order.
	case !slices.Equal(old.Fields, now.Fields) && old.Source == now.Source:
		c.add(path, "key-fields-changed", Breaking, old.text(), now.text(), boundary, fix)
	case old.Source != now.Source && examples == "the same":
		c.add(path, "key-source-changed", Safe, old.text(), now.text(), "the keys of the examples are the same", "")
	case old.Source != now.Source && examples == "not known":
		c.add(path, "key-source-changed", Undecided, old.text(), now.text(), "whether the keys are the same is not known", "Give the topic Examples, or allow it with a reason")
	case old.Source != now.Source:
		c.add(path, "key-source-changed", Breaking, old.text(), now.text(), boundary, fix)
	// The declarations are equal; only the function's results differ.
	case examples == "others":
		c.add(path, "key-function-changed", Breaking, strings.Join(old.Examples, ", "), strings.Join(now.Examples, ", "), boundary, fix)
	case len(old.Examples) > 0 && examples == "not known":
		c.add(path, "key-examples-changed", Undecided, fmt.Sprint(len(old.Examples)), fmt.Sprint(len(now.Examples)), "the number of examples differs, so the keys can't be compared", "Change TopicConfig.Examples by itself")
	}
}

// text returns the source with its fields, for people.
func (k *Key) text() string {
	return strings.TrimSpace(string(k.Source) + " " + strings.Join(k.Fields, "|"))
}
