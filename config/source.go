package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// values holds what all sources say together, flat: "eventbus:tls:cafile" → value.
// Keys are in lower case.
type values struct {
	// merged has the value of each key that the last source with it gives.
	merged *koanf.Koanf
	// origins says where each value of merged comes from, for errors.
	origins map[string]origin
	// looked are the files that were looked for, and what became of each.
	looked []string
	// host is the environment's name by the variables of .NET's host.
	host string
}

// origin says where a value comes from.
type origin struct {
	// key is the key as it is written there.
	key string
	// source is a file's path, or environment.
	source string
}

// String returns the origin as errors show it.
func (o origin) String() string { return o.key + " in " + o.source }

// environment is the source of environment variables.
const environment = "the environment"

// flat is one source, by keys in lower case.
type flat map[string]entry

// entry is a value with its origin.
type entry struct {
	value any
	origin
}

// noDelimiter stands in no key: values are flat already, as .NET keeps them, so
// that a key that is a value in one source and a section in another is not a clash.
const noDelimiter = "\x00"

// read gathers the sources, the one that wins last. What can't be read is noted in
// wrong, and the others are read all the same.
func (s *settings) read(wrong *Error) *values {
	v := &values{merged: koanf.New(noDelimiter), origins: make(map[string]origin)}
	fault := func(err error) { wrong.Bus = append(wrong.Bus, err) }
	variables := s.variables(fault)
	for _, name := range []string{"DOTNET_ENVIRONMENT", "ASPNETCORE_ENVIRONMENT", "ENVIRONMENT"} {
		v.host = cmp.Or(v.host, s.variable(name))
	}
	if files := s.named(); len(files) > 0 {
		for _, path := range files {
			s.load(v, path, true, fault)
		}
	} else {
		// The environment names a file, so it has to be known before all files are
		// read: from a variable, or from appsettings.json.
		key := s.key("Environment")
		s.load(v, filepath.Join(s.directory, "appsettings.json"), false, fault)
		own, _ := variables[key].value.(string)
		name := cmp.Or(own, v.host, v.merged.String(key))
		// A name with a slash would lead to another directory.
		if name != "" && !strings.ContainsAny(name, `/\`) {
			s.load(v, filepath.Join(s.directory, "appsettings."+name+".json"), false, fault)
		}
		s.load(v, filepath.Join(s.directory, "eventbus.yaml"), false, fault)
	}
	v.add(variables, fault)
	return v
}

// named returns the files that were chosen in place of the default ones, if any.
func (s *settings) named() []string {
	if s.files != nil {
		return s.files
	}
	return filepath.SplitList(s.variable("EVENTBUS_CONFIG"))
}

// load adds a file. One that must exist is a fault if it does not.
func (s *settings) load(v *values, path string, must bool, fault func(error)) {
	shown := path
	// Relative paths say little in an error of a service.
	if absolute, err := filepath.Abs(path); err == nil {
		shown = absolute
	}
	content, err := os.ReadFile(path) //nolint:gosec // the caller's own choice of file
	switch {
	case errors.Is(err, fs.ErrNotExist) && !must:
		v.looked = append(v.looked, shown+" (no such file)")
		return
	case err != nil:
		v.looked = append(v.looked, shown+" (unreadable)")
		fault(fmt.Errorf("can't read a configuration file: %w", err))
		return
	}
	v.looked = append(v.looked, shown)
	tree, err := parse(path, content)
	if err != nil {
		fault(fmt.Errorf("%s: %w", path, err))
		return
	}
	found := make(flat)
	s.flatten(found, "", tree, path, fault)
	v.add(found, fault)
}

// add merges a source into the values: its values win.
func (v *values) add(source flat, fault func(error)) {
	said := make(map[string]any, len(source))
	for key, e := range source {
		said[key], v.origins[key] = e.value, e.origin
	}
	if err := v.merged.Load(confmap.Provider(said, ""), nil); err != nil {
		fault(err)
	}
}

// variables returns the environment variables that hold settings: those with __ in
// their names, in which it stands for the colon.
func (s *settings) variables(fault func(error)) flat {
	found := make(flat)
	for _, variable := range s.environ {
		name, value, _ := strings.Cut(variable, "=")
		if strings.Contains(name, "__") {
			s.put(found, strings.ReplaceAll(name, "__", ":"), entry{value, origin{name, environment}}, fault)
		}
	}
	return found
}

// variable returns the value of an environment variable, empty if it is not set. Of
// several with one name the last wins, as in os/exec.
func (s *settings) variable(name string) string {
	for _, variable := range slices.Backward(s.environ) {
		if n, value, _ := strings.Cut(variable, "="); n == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// flatten adds what lies below a path of a parsed file. Lists stay values: no
// setting is one.
func (s *settings) flatten(found flat, path string, value any, file string, fault func(error)) {
	below, ok := value.(map[string]any)
	if !ok {
		s.put(found, path, entry{value, origin{path, file}}, fault)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(below)) {
		name := key
		if path != "" {
			name = path + ":" + key
		}
		s.flatten(found, name, below[key], file, fault)
	}
}

// put adds a value if its key is in a section that is read. What other parts of a
// program configure, secrets among it, is not kept.
func (s *settings) put(found flat, key string, e entry, fault func(error)) {
	key = strings.ToLower(key)
	section, _, _ := strings.Cut(key, ":")
	switch section {
	case "connectionstrings", "logging", strings.ToLower(s.section), strings.ToLower(s.beside):
	default:
		return
	}
	if other, ok := found[key]; ok && fmt.Sprint(other.value) != fmt.Sprint(e.value) {
		fault(fmt.Errorf("%s and %s are one key with two values in %s: keep one of them (letters' case does not matter)",
			min(other.key, e.key), max(other.key, e.key), e.source))
	}
	found[key] = e
}

// key returns the key of a setting of the section, as values has it.
func (s *settings) key(name string) string { return strings.ToLower(s.section + ":" + name) }
