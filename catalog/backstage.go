package catalog

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/eventbus-go/eventbus"
)

// BackstageConfig says what Backstage's entity has in addition to the catalogue. The
// zero value is usable.
type BackstageConfig struct {
	// AsyncAPI is about the document in the entity. Its title, if there is one, is the
	// entity's too.
	AsyncAPI AsyncAPIConfig
	// Name is the entity's name, which is unique in Backstage: at most 63 letters,
	// digits, and -, _ or . between them. The default is mailer-events for the service
	// mailer. A document of no single service has the domain of its topics in place of
	// the service, or events alone if they are of several.
	Name string
	// Owner is the entity's only owner, by name or as a reference such as
	// group:default/sales. The default is the owner of the first topic that has one,
	// or else unknown.
	Owner string
}

// Backstage returns the entity file of the catalogue for Backstage: an API of type
// asyncapi that contains the document of AsyncAPI. The file is JSON, which is also
// YAML. The error is an *eventbus.Error: Backstage would refuse the name or the owner, or
// AsyncAPI returned it.
func (d *Document) Backstage(o BackstageConfig) ([]byte, error) {
	// What was chosen is written as it is or refused. What is derived is made to fit.
	if o.Name != "" && !isEntityName(o.Name) {
		return nil, &eventbus.Error{Op: "backstage", Err: fmt.Errorf("name %q: write at most 63 letters, digits, and -, _ or . between them", o.Name)}
	}
	if o.Owner != "" && entityRef(o.Owner) != o.Owner {
		return nil, &eventbus.Error{Op: "backstage", Err: fmt.Errorf("owner %q: write a name, or a reference such as group:default/sales", o.Owner)}
	}
	definition, err := d.AsyncAPI(o.AsyncAPI)
	if err != nil {
		return nil, err
	}
	owner := o.Owner
	for i := range d.Topics {
		owner = firstOf(owner, d.Topics[i].Owner)
	}
	name, title := "events", "Events"
	if subject := firstOf(d.Service, d.domain()); subject != "" {
		name, title = subject+"-events", subject+" events"
	}
	text, err := json.MarshalIndent(object{
		"apiVersion": "backstage.io/v1alpha1", "kind": "API",
		"metadata": object{"name": firstOf(o.Name, entityName(name)), "title": firstOf(o.AsyncAPI.Title, title)},
		"spec":     object{"type": "asyncapi", "lifecycle": "production", "owner": firstOf(entityRef(owner), "unknown"), "definition": string(definition)},
	}, "", "  ")
	return append(text, '\n'), err
}

// domain returns the domain that all topics are of, or nothing if they are of several.
func (d *Document) domain() (domain string) {
	for i := range d.Topics {
		if i > 0 && d.Topics[i].Domain != domain {
			return ""
		}
		domain = d.Topics[i].Domain
	}
	return domain
}

// entityRef returns a text as what Backstage takes as a reference to an entity: a name,
// which may have a kind and a namespace before it, as in group:default/sales. Any other
// text becomes a name.
func entityRef(s string) string {
	name := s
	for _, end := range []string{":", "/"} {
		before, after, ok := strings.Cut(name, end)
		if ok && !isEntityName(before) {
			return entityName(s)
		}
		if ok {
			name = after
		}
	}
	if !isEntityName(name) {
		return entityName(s)
	}
	return s
}

// isEntityName reports whether Backstage takes a text as a name.
func isEntityName(s string) bool { return s != "" && entityName(s) == s }

// entityName returns a text as what Backstage takes as a name: at most 63 letters,
// digits, and -, _ or . between them.
func entityName(s string) string {
	s = key(s)
	// key left ASCII alone, so bytes are characters.
	if len(s) > 63 {
		s = s[:63]
	}
	return strings.Trim(s, "-_.")
}

// Schemas returns the schema of each type as a file: topic/type.json, or .avsc for
// Avro, or .txt if the schema is not JSON.
func (d *Document) Schemas() (files []File) {
	for i := range d.Topics {
		t := &d.Topics[i]
		for j := range t.Events {
			e := &t.Events[j]
			// A codec without a schema has no file.
			if len(e.Schema) == 0 {
				continue
			}
			name, text := key(t.Name)+"/"+key(e.Type), []byte(e.Schema)
			var whole string
			// A schema that is not JSON was kept as a JSON string: its text is the
			// file.
			switch {
			case json.Unmarshal(e.Schema, &whole) == nil:
				name, text = name+".txt", []byte(whole)
			case strings.HasSuffix(e.ContentType, "avro"):
				name += ".avsc"
			default:
				name += ".json"
			}
			files = append(files, File{name, append(text, '\n')})
		}
	}
	return files
}
