package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reader takes settings out of values, one method per kind of value. A setting
// that is not there leaves its variable as it is.
type reader struct {
	// settings says which section is read.
	settings settings
	// values are what the sources hold; the reader does not change them.
	values *values
	// wrong collects the faults of what is being read.
	wrong *[]error
	// known are the settings that were asked for, by their documented names;
	// unknown compares with them.
	known []string
}

// fault notes a fault. Its text must not hold a secret's value.
func (r *reader) fault(format string, args ...any) {
	*r.wrong = append(*r.wrong, fmt.Errorf(format, args...))
}

// value returns what stands under a key. It reports false for null and "", which
// hide what an earlier source has under the key.
func (r *reader) value(key string) (any, bool) {
	value := r.values.merged.Get(key)
	return value, value != nil && value != ""
}

// string returns the text under a key. A number or a truth value is a fault and no
// text: 0123 would have become 83 before it came here.
func (r *reader) string(key string) (string, bool) {
	value, ok := r.value(key)
	if !ok {
		return "", false
	}
	text, ok := value.(string)
	if !ok {
		r.fault("%s is %s: write it in quotes", r.values.origins[key], kindOf(value))
	}
	return text, ok
}

// kindOf names the kind of a value that is not text. The value itself is not shown,
// since it may be a mistyped secret.
func kindOf(value any) string {
	switch value.(type) {
	case []any:
		return "a list"
	case bool:
		return "a truth value"
	case time.Time:
		return "a time"
	}
	return "a number"
}

// setting announces a setting of the section and returns its key.
func (r *reader) setting(name string) string {
	r.known = append(r.known, name)
	return r.settings.key(name)
}

// text reads a setting that is any text.
func (r *reader) text(name string, to *string) {
	if text, ok := r.string(r.setting(name)); ok {
		*to = text
	}
}

// scalar reads a setting whose values have a form, and reports whether it set *to.
// what says which form, in the words of an error.
func scalar[V any](r *reader, name, what string, to *V, form func(any) (V, bool)) bool {
	key := r.setting(name)
	value, ok := r.value(key)
	if !ok {
		return false
	}
	v, ok := form(value)
	switch text, isText := value.(string); {
	case ok:
		*to = v
	case isText:
		r.fault("%s: %q is %s", r.values.origins[key], text, what)
	default:
		r.fault("%s: this is %s", r.values.origins[key], what)
	}
	return ok
}

// duration reads a duration of more than zero: all zero ones mean the default.
func (r *reader) duration(name string, to *time.Duration) bool {
	return scalar(r, name, "not a duration: write 30s or 00:00:30, above zero", to, func(value any) (time.Duration, bool) {
		text, _ := value.(string)
		d, ok := parseDuration(text)
		return d, ok && d > 0
	})
}

// durations reads durations of more than zero, separated by commas.
func (r *reader) durations(name string, to *[]time.Duration) bool {
	return scalar(r, name, "not a list of durations: write 1s or 1s, 5s, 30s, each above zero", to, func(value any) (all []time.Duration, ok bool) {
		text, _ := value.(string)
		for part := range strings.SplitSeq(text, ",") {
			d, ok := parseDuration(strings.TrimSpace(part))
			if !ok || d <= 0 {
				return nil, false
			}
			all = append(all, d)
		}
		return all, true
	})
}

// wrongly notes that a setting, which is there, is not what it may be.
func (r *reader) wrongly(name, why string) {
	r.fault("%s: this is %s", r.values.origins[r.settings.key(name)], why)
}

// flag reads true or false, in any case of letters.
func (r *reader) flag(name string, to *bool) bool {
	return scalar(r, name, "neither true nor false", to, func(value any) (bool, bool) {
		if b, ok := value.(bool); ok {
			return b, true
		}
		text, _ := value.(string)
		return strings.EqualFold(text, "true"), strings.EqualFold(text, "true") || strings.EqualFold(text, "false")
	})
}

// count reads a whole number above zero. Files give numbers, variables give text.
func count[I int | int64](r *reader, name string, to *I) bool {
	return scalar(r, name, "not a count: write a whole number above 0", to, func(value any) (I, bool) {
		n, err := strconv.ParseInt(fmt.Sprint(value), 10, strconv.IntSize)
		// JSON has no other numbers; above 2^53 they are not exact.
		if f, ok := value.(float64); ok {
			n, err = int64(f), nil
			if f != math.Trunc(f) || f >= 1<<53 {
				return 0, false
			}
		}
		return I(n), err == nil && n > 0
	})
}

// ratio reads a number from least to most.
func (r *reader) ratio(name, what string, to *float64, least, most float64) bool {
	return scalar(r, name, what, to, func(value any) (float64, bool) {
		f, err := strconv.ParseFloat(fmt.Sprint(value), 64)
		return f, err == nil && f >= least && f <= most
	})
}

// unknown notes a fault for each key of the section that is not a known setting: a
// mistyped one would change nothing and be noticed late.
func (r *reader) unknown() {
	known := make(map[string]bool, len(r.known))
	for _, name := range r.known {
		known[r.settings.key(name)] = true
	}
	section := r.settings.key("")
	for _, key := range slices.Sorted(maps.Keys(r.values.origins)) {
		name, ours := strings.CutPrefix(key, section)
		if !ours && key+":" != section || known[key] {
			continue
		}
		at := r.values.origins[key]
		switch near := nearest(name, r.known); {
		case !ours:
			if _, ok := r.value(key); ok {
				r.fault("%s is a value, and should be a section", at)
			}
		case near != "":
			r.fault("%q in %s is not a setting: did you mean %s:%s?", at.key, at.source, r.settings.section, near)
		case r.settings.beside != "":
			r.fault("%q in %s is not a setting: %s has %s", at.key, at.source, r.settings.section, strings.Join(r.known, ", "))
		default:
			r.fault("%q in %s is not a setting: the documentation of package config lists them", at.key, at.source)
		}
	}
}

// nearest returns the known name that key, in lower case, was probably meant to be;
// empty if none is near: more than half of the letters differ.
func nearest(key string, known []string) string {
	best, least := "", max(2, len(key)/2)+1
	for _, name := range known {
		lower := strings.ToLower(name)
		last := lower[strings.LastIndexByte(lower, ':')+1:]
		written := key[strings.LastIndexByte(key, ':')+1:]
		// A setting in the wrong section is one step off.
		d := min(distance(key, lower), 1+distance(written, last))
		if d < least {
			best, least = name, d
		}
	}
	return best
}

// distance returns Levenshtein's distance in bytes: how many to insert, delete or
// replace. It keeps one row of the matrix; names are short.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			step := diagonal
			if a[i] != b[j] {
				step++
			}
			diagonal = row[j+1]
			row[j+1] = min(step, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
