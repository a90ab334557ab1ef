package naming

import (
	"slices"
	"strings"
)

// Plural puts the last word of a name into the plural. The name is in lower case,
// with words separated by "-" or "_". A plural stays as it is.
//
// It covers the nouns that name events. A library for this would link regular
// expressions and a hundred rules, 370 kB in every service, for one word of a name.
// A name that needs another plural is written as such, without Plural.
func Plural(name string) string {
	at := strings.LastIndexAny(name, "-_") + 1
	return name[:at] + plural(name[at:])
}

// plural is Plural for a single word.
func plural(word string) string {
	if word == "" || slices.Contains(unchanged, word) {
		return word
	}
	for _, form := range irregular {
		switch {
		case word == form.many:
			return word
		case word == form.one, form.suffix && strings.HasSuffix(word, form.one):
			return strings.TrimSuffix(word, form.one) + form.many
		}
	}
	stem, last := word[:len(word)-1], word[len(word)-1]
	switch {
	case hasSuffix(word, "sis", "xis"): // analysis, axis
		return word[:len(word)-2] + "es"
	case hasSuffix(word, "ss", "us", "as", "is", "x", "z", "ch", "sh"):
		return word + "es"
	case last == 's':
		// No common singular ends in another s, but for those above.
		return word
	case last == 'y' && stem != "" && (!hasSuffix(stem, "a", "e", "i", "o", "u") || hasSuffix(stem, "qu")):
		return stem + "ies"
	}
	return word + "s"
}

// hasSuffix reports whether a word has one of several endings.
func hasSuffix(word string, suffixes ...string) bool {
	return slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(word, suffix) })
}

// unchanged lists nouns whose plural is the same or not used.
var unchanged = strings.Fields(`
	advice agenda aircraft baggage bison cash cattle chassis data deer equipment evidence feedback fish furniture
	hardware information knowledge livestock luggage mail media metadata money moose news offspring police progress
	research salmon scrap series sheep shrimp software spacecraft species staff swine traffic trout weather`)

// irregular lists nouns whose plural no ending tells. One with suffix also forms
// compounds, such as salesperson and bookshelf. The first that fits counts.
var irregular = []struct {
	one, many string
	suffix    bool
}{
	{"human", "humans", false}, {"german", "germans", false}, {"talisman", "talismans", false},
	{"person", "people", true}, {"child", "children", true}, {"man", "men", true},
	{"foot", "feet", true}, {"tooth", "teeth", true}, {"goose", "geese", false},
	{"mouse", "mice", false}, {"louse", "lice", false}, {"ox", "oxen", false}, {"die", "dice", false},
	{"criterion", "criteria", false}, {"phenomenon", "phenomena", false},
	{"datum", "data", false}, {"medium", "media", false}, {"bacterium", "bacteria", false}, {"curriculum", "curricula", false},
	{"index", "indices", false}, {"matrix", "matrices", false}, {"vertex", "vertices", false}, {"appendix", "appendices", false},
	{"radius", "radii", false}, {"stimulus", "stimuli", false}, {"genus", "genera", false}, {"corpus", "corpora", false},
	{"quiz", "quizzes", false}, {"lens", "lenses", false}, {"gas", "gases", false}, {"passerby", "passersby", false},
	{"hero", "heroes", false}, {"potato", "potatoes", false}, {"tomato", "tomatoes", false}, {"echo", "echoes", false},
	{"veto", "vetoes", false}, {"embargo", "embargoes", false}, {"torpedo", "torpedoes", false}, {"tornado", "tornadoes", false},
	{"volcano", "volcanoes", false},
	{"knife", "knives", true}, {"wife", "wives", true}, {"life", "lives", false}, {"leaf", "leaves", false}, {"loaf", "loaves", false},
	{"shelf", "shelves", true}, {"self", "selves", false}, {"half", "halves", false}, {"calf", "calves", false},
	{"wolf", "wolves", false}, {"thief", "thieves", false}, {"hoof", "hooves", false}, {"wharf", "wharves", false},
}
