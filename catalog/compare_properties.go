package catalog

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// properties compares the fields of an object.
func (s *schemaComparison) properties(path string, a, b map[string]any) {
	was, _ := a["properties"].(map[string]any)
	is, _ := b["properties"].(map[string]any)
	mustWas, mustIs := names(a["required"]), names(b["required"])
	// renamed has the new names of renamed fields. Such a field does not count as
	// added, nor as the successor of another field.
	renamed := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(was)) {
		// This is a JSON Pointer into the schema, but not escaped: it is for people
		// and for allowances.
		place := path + "/properties/" + name
		x, _ := was[name].(map[string]any)
		y, _ := is[name].(map[string]any)
		if is[name] == nil {
			if to := successor(was, is, name, mustWas, mustIs, renamed); to != "" {
				renamed[to] = true
				s.add(place, "field-renamed", Breaking, name, to, readerOld+" finds no "+name+" any more, and the new one none in the old events", newField)
			} else {
				s.add(place, "field-removed", Breaking, name, "", readerOld+" finds no "+name+" any more", "Keep the field until nobody reads it, or declare a new version of the topic")
			}
			continue
		}
		switch had, has := mustWas[name], mustIs[name]; {
		case had && !has:
			s.add(place, "required-dropped", Breaking, "required", "optional", readerOld+" relies on the field", "Keep writing it until nobody does")
		case !had && has:
			s.add(place, "required-set", Breaking, "optional", "required", readerNew+" meets events without it", "Leave it optional")
		}
		// Fields are compared further, whether or not they are required.
		if x != nil && y != nil {
			s.compare(place, x, y)
		} else if !reflect.DeepEqual(was[name], is[name]) { // true takes any value, false none
			s.add(place, "type-unknown", Undecided, word(was[name]), word(is[name]), "one of the schemas is not an object", "Allow it with a reason")
		}
	}
	// A schema may require a field without describing it.
	for _, name := range slices.Sorted(maps.Keys(merged(mustWas, mustIs))) {
		if place := path + "/required/" + name; mustWas[name] == mustIs[name] || was[name] != nil || is[name] != nil {
			continue
		} else if mustIs[name] {
			s.add(place, "required-set", Breaking, "optional", "required", readerNew+" meets events without it", "Leave it optional")
		} else {
			s.add(place, "required-dropped", Breaking, "required", "optional", readerOld+" relies on the field", "Keep writing it until nobody does")
		}
	}
	// Added fields, except the new names of renamed ones.
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if was[name] != nil || renamed[name] {
			continue
		}
		place := path + "/properties/" + name
		if mustIs[name] {
			s.add(place, "required-field-added", Breaking, "", name, readerNew+" meets events without it, and a service that still publishes by the old schema leaves it out", "Make it optional: omitempty or omitzero")
		} else {
			s.add(place, "field-added", Safe, "", name, "readers pass over fields that they don't know", "")
		}
		if y, _ := is[name].(map[string]any); y[jsonschema.Personal] == true {
			s.add(place, "personal-data-added", Dangerous, "", "personal", personalField, "Tell the readers")
		}
	}
}

// successor returns the name of an added field with the same schema as the removed
// one, or "". taken has the added fields that already succeed another one.
func successor(was, is map[string]any, name string, mustWas, mustIs map[string]bool, taken map[string]bool) string {
	for _, to := range slices.Sorted(maps.Keys(is)) {
		// A renaming keeps everything else. Fields that are equal by chance are
		// reported as renamed too; the break is the same.
		if was[to] == nil && !taken[to] && mustWas[name] == mustIs[to] && reflect.DeepEqual(was[name], is[to]) {
			return to
		}
	}
	return ""
}

// differ reports whether a keyword that is not understood has two values, or one that refers to
// something that has changed.
func (s *schemaComparison) differ(keyword string, a, b map[string]any) bool {
	return !reflect.DeepEqual(a[keyword], b[keyword]) || s.refersToChange(map[string]any{keyword: a[keyword]}, make(map[string]bool))
}

// refersToChange reports whether a reference anywhere in a part of a schema, or in what that
// refers to, leads to a definition that has changed. met has the references that were seen. Those
// to the whole schema don't count, which is compared by itself.
func (s *schemaComparison) refersToChange(part any, met map[string]bool) bool {
	switch part := part.(type) {
	case []any:
		return slices.ContainsFunc(part, func(v any) bool { return s.refersToChange(v, met) })
	case map[string]any:
		if name, _ := part["$ref"].(string); strings.HasPrefix(name, "#") && name != "#" && !met[name] {
			met[name] = true
			was, known := s.old.target(name)
			is, still := s.now.target(name)
			// One that can't be followed here may lead to what has changed.
			if !known || !still || !reflect.DeepEqual(was, is) || s.refersToChange(was, met) {
				return true
			}
		}
		for _, v := range part {
			if s.refersToChange(v, met) {
				return true
			}
		}
	}
	return false
}

// bounds compares limits. A narrower one excludes old events; a wider one allows
// values that old readers may refuse.
func (s *schemaComparison) bounds(path string, a, b map[string]any) {
	for _, keyword := range []string{"minimum", "minLength", "minItems", "maximum", "maxLength", "maxItems"} {
		x, hasX := numeric(a[keyword])
		y, hasY := numeric(b[keyword])
		if hasX == hasY && x.Cmp(y) == 0 {
			continue
		}
		lower := strings.HasPrefix(keyword, "min")
		// A lower bound is narrower if it is larger, an upper one if it is smaller.
		// Adding a bound narrows, and removing one widens.
		narrower := hasY && (!hasX || lower == (y.Cmp(x) > 0))
		if narrower {
			s.add(path+"/"+keyword, "bound-narrowed", Breaking, word(a[keyword]), word(b[keyword]), readerNew+" meets values beyond it", newField)
		} else {
			s.add(path+"/"+keyword, "bound-widened", Dangerous, word(a[keyword]), word(b[keyword]), readerOld+" may refuse values beyond the old bound", "Keep values within the old bound until all readers know the new one")
		}
	}
}

// names returns the strings in a list as a set.
func names(list any) map[string]bool {
	m := make(map[string]bool)
	all, _ := list.([]any)
	for _, v := range all {
		if name, ok := v.(string); ok {
			m[name] = true
		}
	}
	return m
}
