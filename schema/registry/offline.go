package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"
)

// Bounds of a directory: the number of files, and their size in bytes.
const (
	mostFiles   = 10_000
	maxFileSize = maxAnswer
)

// directory is a registry's content in files: subject/version.json, with the subject
// escaped as in a URL's path. byID, version and lookup find nothing in a nil
// directory.
type directory struct {
	bySubject map[string][]*Schema // by version
	byNumber  map[ID]*Schema
}

// readDirectory reads all schemas at once, so that faults are found at the start and
// later changes don't matter.
func readDirectory(files fs.FS) (*directory, error) {
	d := &directory{bySubject: make(map[string][]*Schema), byNumber: make(map[ID]*Schema)}
	count := 0
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".json" {
			return err
		}
		if count++; count > mostFiles {
			return fmt.Errorf("it has more than %d schemas", mostFiles)
		}
		if err := d.read(files, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the directory of schemas: %w", err)
	}
	for _, schemas := range d.bySubject {
		slices.SortFunc(schemas, func(a, b *Schema) int { return a.Version - b.Version })
	}
	return d, nil
}

// read adds a file, which has the form of a registry's answer. Its content decides
// subject and version, not its path.
func (d *directory) read(files fs.FS, name string) error {
	f, err := files.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return err
	}
	if len(content) > maxFileSize {
		return fmt.Errorf("it is longer than %d MiB", maxFileSize>>20)
	}
	var answer sr.SubjectSchema
	decoder := json.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(&answer); err != nil {
		return fmt.Errorf("it is not a schema in the form of a registry's answer: %w", err)
	}
	if answer.Subject == "" || answer.Version <= 0 || answer.Schema.Schema == "" {
		return fmt.Errorf("subject, version or schema is missing")
	}
	s := schemaOf(&answer)
	d.bySubject[s.Subject] = append(d.bySubject[s.Subject], s)
	if s.ID > 0 {
		d.byNumber[ID{Number: s.ID}] = s
	}
	if guid, ok := parseGUID(s.GUID); ok {
		d.byNumber[ID{GUID: guid}] = s
	}
	return nil
}

// WriteFile returns the name and content of a file for s in a directory for
// Config.Offline.
func WriteFile(s *Schema) (name string, content []byte, err error) {
	if s.Subject == "" || s.Version <= 0 {
		return "", nil, fmt.Errorf("schema %d has no subject and version to be filed by", s.ID)
	}
	request, err := s.request()
	if err != nil {
		return "", nil, err
	}
	content, err = json.MarshalIndent(sr.SubjectSchema{Subject: s.Subject, Version: s.Version, ID: s.ID, GUID: s.GUID, Schema: request}, "", "  ")
	return path.Join(fileName(s.Subject), strconv.Itoa(s.Version)+".json"), append(content, '\n'), err
}

// fileName returns a subject as one element of a path, on every file system. Leading
// dots are removed, since a name of dots would leave the directory.
func fileName(subject string) string {
	return strings.ReplaceAll(strings.TrimLeft(url.PathEscape(subject), "."), ":", "%3A")
}

// byID returns nil for an id that is not in the directory.
func (d *directory) byID(id ID) *Schema {
	if d == nil {
		return nil
	}
	return d.byNumber[id]
}

// version returns a version of a subject, the newest for −1, or nil. Numbers may have
// gaps, since versions can be deleted.
func (d *directory) version(subject string, version int) *Schema {
	if d == nil {
		return nil
	}
	schemas := d.bySubject[subject]
	if version == -1 && len(schemas) > 0 {
		return schemas[len(schemas)-1]
	}
	for _, s := range schemas {
		if s.Version == version {
			return s
		}
	}
	return nil
}

// lookup finds a subject's schema by its definition, or returns nil.
func (d *directory) lookup(subject string, want *Definition) *Schema {
	if d == nil {
		return nil
	}
	for _, s := range d.bySubject[subject] {
		if s.same(want) {
			return s
		}
	}
	return nil
}

func (d *directory) subjects() []string { return slices.Sorted(maps.Keys(d.bySubject)) }

func (d *directory) versions(subject string) (versions []int) {
	for _, s := range d.bySubject[subject] {
		versions = append(versions, s.Version)
	}
	return versions
}
