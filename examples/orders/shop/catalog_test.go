package shop

import (
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
)

// TestCatalog holds catalog.json to the declaration: a change that breaks the
// warehouse fails it.
func TestCatalog(t *testing.T) { catalog.Golden(t, "catalog.json", OrderPlacedTopic) }
