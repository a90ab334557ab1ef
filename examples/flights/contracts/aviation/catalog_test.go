package aviation

import (
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
)

// TestCatalog holds catalog.json to the declarations, and refuses changes that
// break those who read the events. After a compatible change go generate rewrites
// the file.
func TestCatalog(t *testing.T) { catalog.Golden(t, "catalog.json", DepartedTopic, CancelledTopic) }
