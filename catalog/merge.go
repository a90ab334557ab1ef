package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/eventbus-go/eventbus"
)

// Merge merges the documents of several services into one, which shows who publishes
// and handles each topic. Partitions and other storage are compared only if neither is
// zero, and a topic is compacted if one of them says so. Keys and the partitioner are
// those of the service that publishes: one that only handles events need not declare
// them. If documents contradict each other, Merge returns no document and an error
// that lists all contradictions. It does not change its arguments.
func Merge(documents ...*Document) (*Document, error) {
	// Service and environment stay empty, since the result does not describe a single
	// bus.
	all := &Document{Version: Version, Topics: []Topic{}}
	// These are indexes rather than pointers, since appending may move the topics.
	at := make(map[string]int)
	var wrong []error
	for _, d := range documents {
		for i := range d.Topics {
			t := d.Topics[i]
			// Events and Groups belong to the caller's document, and are changed
			// below.
			t.Events, t.Groups = slices.Clone(t.Events), slices.Clone(t.Groups)
			n, known := at[t.Name]
			if !known {
				at[t.Name] = len(all.Topics)
				all.Topics = append(all.Topics, t)
				continue
			}
			wrong = append(wrong, all.Topics[n].merge(&t)...)
		}
	}
	// Sorted, so that the result does not depend on the order of the arguments.
	slices.SortFunc(all.Topics, func(a, b Topic) int { return strings.Compare(a.Name, b.Name) })
	if err := errors.Join(wrong...); err != nil {
		return nil, &eventbus.Error{Op: "merge catalogs", Err: err}
	}
	return all, nil
}

// merge adds what another document says about the topic, and returns the
// contradictions.
func (t *Topic) merge(o *Topic) (wrong []error) {
	differ := func(what string, a, b any) {
		wrong = append(wrong, fmt.Errorf("topic %s: %s is %v and %v", t.Name, what, a, b))
	}
	// A service that only handles a topic often declares no storage, so zero on one
	// side is not a contradiction.
	same(differ, "partitions", &t.Partitions, o.Partitions)
	same(differ, "replication", &t.Replication, o.Replication)
	same(differ, "retentionMs", &t.RetentionMs, o.RetentionMs)
	same(differ, "owner", &t.Owner, o.Owner)
	t.Compacted = t.Compacted || o.Compacted
	t.mergeConfigs(differ, o.Configs)
	// The publisher decides the partitioner: a service that only handles events need
	// not declare it.
	own, other := slices.ContainsFunc(t.Events, published), slices.ContainsFunc(o.Events, published)
	switch {
	case own && !other || t.Partitioner == o.Partitioner:
	case other && !own || !other && t.Partitioner == "":
		t.Partitioner = o.Partitioner
	case own || o.Partitioner != "":
		differ("partitioner", strconv.Quote(t.Partitioner), strconv.Quote(o.Partitioner))
	}
	// An empty value here is the default, not an undeclared value, so it may
	// contradict the other.
	for _, word := range [...]struct{ what, own, other string }{
		{"address", t.Address, o.Address}, {"format", t.Format, o.Format},
	} {
		if word.own != word.other {
			differ(word.what, strconv.Quote(word.own), strconv.Quote(word.other))
		}
	}
	for _, l := range t.addLetters(o.Letters) {
		differ("the topics of dead letters of group "+l.Group, t.letters("{env}", t.Name, l.Group), o.letters("{env}", t.Name, l.Group))
	}
	t.Groups = append(t.Groups, o.Groups...)
	slices.Sort(t.Groups)
	t.Groups = slices.Compact(t.Groups)
	for _, e := range o.Events {
		i := slices.IndexFunc(t.Events, func(own Event) bool { return own.Type == e.Type })
		if i < 0 {
			t.Events = append(t.Events, e)
			continue
		}
		own := &t.Events[i]
		// One service publishes a type and others handle it, so each document has only
		// one of the two.
		switch a, b := own.Key.text(), e.Key.text(); {
		case own.Published && !e.Published || a == b:
		case e.Published && !own.Published || !e.Published && own.Key.Source == NoKey:
			own.Key = e.Key
		case own.Published || e.Key.Source != NoKey:
			differ("the key of type "+e.Type, a, b)
		}
		own.Published = own.Published || e.Published
		if own.ContentType != e.ContentType {
			differ("the content type of type "+e.Type, own.ContentType, e.ContentType)
		}
		// Read and Of write equal schemas alike, but services may use different
		// versions of this package. The example is taken together with its schema.
		switch {
		case bytes.Equal(own.Schema, e.Schema):
		case own.Schema == nil || own.earlierOf(&e):
			own.Schema, own.Example = e.Schema, e.Example
		case e.Schema != nil && !e.earlierOf(own):
			// The Go types are named in place of the schemas, which are too long for an
			// error and say less about where to look. Often both are of one name: then one
			// service is of an earlier version of the contract.
			differ("the schema of type "+e.Type, "that of "+own.GoType, "another of "+e.GoType+" (compare the catalogues)")
		}
	}
	slices.SortFunc(t.Events, func(a, b Event) int { return strings.Compare(a.Type, b.Type) })
	return wrong
}

func published(e Event) bool { return e.Published }

// mergeConfigs adds configurations that only the other document has.
func (t *Topic) mergeConfigs(differ func(string, any, any), other map[string]string) {
	t.Configs = maps.Clone(t.Configs)
	for _, name := range slices.Sorted(maps.Keys(other)) {
		own, known := t.Configs[name]
		switch {
		case !known && t.Configs == nil:
			t.Configs = map[string]string{name: other[name]}
		case !known:
			t.Configs[name] = other[name]
		case own != other[name]:
			differ(name, own, other[name])
		}
	}
}

// same copies other to own if own is zero, and calls differ if both are set and
// differ.
func same[T comparable](differ func(string, any, any), what string, own *T, other T) {
	var zero T
	switch {
	case other == zero || *own == other:
	case *own == zero:
		*own = other
	default:
		differ(what, *own, other)
	}
}
