package grouptypes

import "sort"

// ID stands for a type of event on a topic. It is short, because members exchange IDs
// in places with little space. Members of different versions of this library must agree
// on it, so its function never changes.
//
// Two types share an ID by chance once in 4 billion pairs: then events that nobody
// handles are held as if somebody did.
type ID uint32

// Of returns the ID of a type on a topic: the 64 bits of FNV-1a over the topic,
// a NUL and the type, its halves combined by XOR.
func Of(topic, typ string) ID {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(topic) {
		h = (h ^ uint64(topic[i])) * prime
	}
	h *= prime // of NUL, which is in no topic's name
	for i := range len(typ) {
		h = (h ^ uint64(typ[i])) * prime
	}
	return ID(h>>32) ^ ID(h)
}

// Any stands for all types of a topic, in place of a type that a member handles. No
// topic can be declared with it as its type.
const Any = "*"

// All returns the IDs of a member's types by topic, each once, in order.
func All(types map[string][]string) []ID {
	var all []ID
	for topic, names := range types {
		for _, name := range names {
			all = append(all, Of(topic, name))
		}
	}
	return Sorted(all)
}

// Sorted sorts IDs in place and returns them, each once. It is not slices.Sort, of
// which a program links 10 kB for each type that it sorts.
func Sorted(ids []ID) []ID {
	sort.Slice(ids, func(i, k int) bool { return ids[i] < ids[k] }) //nolint:modernize // for its size
	n := 0
	for i, id := range ids {
		if i == 0 || id != ids[n-1] {
			ids[n] = id
			n++
		}
	}
	return ids[:n]
}
