package catalog

import (
	"encoding/json"
	"strings"
)

// Backstage returns the entity file of the catalogue for Backstage: an API of type
// asyncapi that contains the document of AsyncAPI. The file is JSON, which is also
// YAML. An entity has a single owner: that of the first topic that has one.
func (d *Document) Backstage(o AsyncAPIConfig) ([]byte, error) {
	definition, err := d.AsyncAPI(o)
	if err != nil {
		return nil, err
	}
	name := firstOf(o.Title, d.Service, "events")
	owner := "unknown"
	for i := range d.Topics {
		if d.Topics[i].Owner != "" {
			owner = d.Topics[i].Owner
			break
		}
	}
	text, err := json.MarshalIndent(object{
		"apiVersion": "backstage.io/v1alpha1", "kind": "API",
		"metadata": object{"name": entityName(name + "-events"), "title": name + " events"},
		"spec":     object{"type": "asyncapi", "lifecycle": "production", "owner": entityName(owner), "definition": string(definition)},
	}, "", "  ")
	return append(text, '\n'), err
}

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
