package avroschema

import (
	"fmt"
	"testing"

	"github.com/eventbus-go/eventbus/schema/registry"
)

// TestReferencesAreFollowedOnce: schemas that many others refer to, or that refer to
// each other, are loaded once.
func TestReferencesAreFollowedOnce(t *testing.T) {
	const levels = 20
	name := func(level, n int) string { return fmt.Sprintf("L%dN%d", level, n) }
	for _, circle := range []bool{false, true} {
		loads := 0
		load := func(r registry.Reference) (*registry.Schema, error) {
			loads++
			var level, n int
			if _, err := fmt.Sscanf(r.Subject, "L%dN%d", &level, &n); err != nil {
				return nil, err
			}
			s := &registry.Schema{Definition: registry.Definition{Type: registry.Avro}}
			fields := `{"name":"x","type":"int"}`
			if level < levels {
				fields = fmt.Sprintf(`{"name":"a","type":%q},{"name":"b","type":%q}`, name(level+1, 0), name(level+1, 1))
			}
			s.Text = fmt.Sprintf(`{"type":"record","name":%q,"fields":[%s]}`, r.Subject, fields)
			for i := range 2 {
				if level < levels {
					s.References = append(s.References, registry.Reference{Name: name(level+1, i), Subject: name(level+1, i), Version: 1})
				} else if circle {
					s.References = append(s.References, registry.Reference{Name: "back", Subject: name(1, i), Version: 1})
				}
			}
			return s, nil
		}
		root, err := load(registry.Reference{Subject: name(1, 0)})
		if err != nil {
			t.Fatal(err)
		}
		loads = 0
		// Avro can't express a circle of references, so it is an error.
		if _, err := Parse(root, load, 32); (err != nil) != circle {
			t.Errorf("in a circle: %t: %v", circle, err)
		}
		if loads > 2*levels+1 {
			t.Errorf("in a circle: %t: %d schemas were asked for %d times", circle, 2*levels-1, loads)
		}
	}
}
