package sales

import (
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
)

// TestCatalog holds catalog.json to the declarations, and refuses changes that
// break those who read the events: rename a field, and it says who. After a
// compatible change write the file again: EVENTBUS_UPDATE=1 go test .
func TestCatalog(t *testing.T) {
	catalog.Golden(t, "catalog.json", CustomerCreatedTopic, CustomerCreatedV1Topic)
}
