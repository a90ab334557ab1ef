package catalog

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus"
)

// TB is the part of testing.TB that Golden needs. It is an interface to keep package
// testing out of services that import this package.
type TB interface {
	// Helper marks the calling function as a test helper.
	Helper()
	// Errorf logs and fails the test, which goes on.
	Errorf(format string, args ...any)
	// Logf logs without failing.
	Logf(format string, args ...any)
}

// UpdateVariable is the environment variable that lets Golden rewrite files.
const UpdateVariable = "EVENTBUS_UPDATE"

// Golden compares the declarations of a package of contracts with the catalogue file
// beside it, in a test of one line:
//
//	func TestCatalog(t *testing.T) { catalog.Golden(t, "catalog.json", CustomerCreatedTopic) }
//
// A change that breaks readers fails the test, which says who breaks and what to do
// instead, unless a line of the allowances covers it: the file with the ending .allow
// instead of .json (see ReadAllowances). A compatible change fails the test until the
// file is rewritten by running the test with EVENTBUS_UPDATE=1, so that a review sees
// it. A breaking change that is not allowed is never written. If an earlier version of
// this package wrote the file and left something out, the test still passes.
// Allowances that covered a written change become comments, so that they allow no
// later change.
func Golden(t TB, file string, topics ...eventbus.AnyTopic) {
	t.Helper()
	// Declarations that contradict each other have no document to compare.
	now, err := Of(topics...)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	text := encoded(t, now)
	if text == nil {
		return
	}
	update := os.Getenv(UpdateVariable) != ""
	kept, err := os.ReadFile(file)
	switch {
	// The first file has nothing to break, so it is written without a comparison.
	case errors.Is(err, fs.ErrNotExist) && update:
		write(t, file, text)
		return
	// A missing file fails the test, which would otherwise guard nothing.
	case errors.Is(err, fs.ErrNotExist):
		t.Errorf("%s is not there yet: write it with %s=1 go test", file, UpdateVariable)
		return
	case err != nil:
		t.Errorf("%v", err)
		return
	// The bytes are compared, since reviewers read the file.
	case bytes.Equal(kept, text):
		return
	}
	old, err := Read(bytes.NewReader(kept))
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	// The comparison decides whether the difference breaks readers.
	changes := Compare(old, now)
	if !update && len(changes) == 0 && bytes.Equal(kept, encoded(t, now.earlier(old))) {
		t.Logf("%s is of an earlier version, which left out some of what it says now: write it again with %s=1 go test", file, UpdateVariable)
		return
	}
	used := allow(t, file, changes)
	// A dangerous change fails only until the file is rewritten, when a review sees
	// it.
	failing := Failing(changes, Breaking)
	for _, c := range failing {
		t.Errorf("%s", c)
	}
	switch {
	case len(failing) > 0:
		verdict := "the contract breaks its readers"
		if !slices.ContainsFunc(failing, func(c Change) bool { return c.Level != Undecided }) {
			verdict = "whether the contract breaks its readers can't be told"
		}
		t.Errorf("%s. To do it all the same, write a line into %s: path rule date reason", verdict, allowFile(file))
	// Only without failing changes: EVENTBUS_UPDATE=1 in a script must not approve a
	// break.
	case update:
		write(t, file, text)
		if len(used) > 0 {
			spend(t, allowFile(file), used)
		}
	default:
		for _, c := range changes {
			t.Logf("%s", c)
		}
		t.Errorf("%s is behind the declarations: write it again with %s=1 go test", file, UpdateVariable)
	}
}

// encoded returns a document in the form of the file, or nil after an error.
func encoded(t TB, d *Document) []byte {
	t.Helper()
	var text bytes.Buffer
	if _, err := d.WriteTo(&text); err != nil {
		t.Errorf("%v", err)
		return nil
	}
	return text.Bytes()
}

// earlier returns the document with old's schemas in place of those that differ only
// in what an earlier version left out.
func (d *Document) earlier(old *Document) *Document {
	kept := byName(old.Topics, topicName)
	like := *d
	like.Topics = slices.Clone(d.Topics)
	for i := range like.Topics {
		t := &like.Topics[i]
		was := kept[t.Name]
		if was == nil {
			continue
		}
		t.Events = slices.Clone(t.Events)
		for j := range t.Events {
			e := &t.Events[j]
			if k := slices.IndexFunc(was.Events, func(o Event) bool { return o.Type == e.Type }); k >= 0 && was.Events[k].earlierOf(e) {
				e.Schema = was.Events[k].Schema
			}
		}
	}
	return &like
}

// allowFile returns the name of the file of allowances beside a catalogue file.
func allowFile(file string) string { return strings.TrimSuffix(file, ".json") + ".allow" }

// allow applies the allowances beside file to changes, and returns those that cover
// any. A missing file means no allowances.
func allow(t TB, file string, changes []Change) (used []Allowance) {
	t.Helper()
	f, err := os.Open(allowFile(file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		// Read only, so an error of Close loses nothing.
		defer f.Close()
		if used, err = ReadAllowances(f); err == nil {
			// A leftover line is logged and does not fail the test.
			for _, a := range Allow(changes, used) {
				t.Logf("%s: the line for %s %s covers nothing any more", allowFile(file), a.Path, a.Rule)
				used = slices.DeleteFunc(used, func(u Allowance) bool { return u == a })
			}
		}
	}
	if err != nil {
		t.Errorf("%s: %v", allowFile(file), err)
	}
	return used
}

// spend turns the lines of used allowances into comments: they would also cover the
// next change with the same path and rule.
func spend(t TB, file string, used []Allowance) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		// Comments and empty lines are no allowance; the others were read before.
		own, _ := ReadAllowances(strings.NewReader(line))
		if len(own) == 1 && slices.Contains(used, own[0]) {
			lines[i] = "# " + line
		}
	}
	write(t, file, []byte(strings.Join(lines, "")))
}

// write writes a file, with the mode of source files.
func write(t TB, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Errorf("%v", err)
	}
}
