package aviation

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
)

var update = flag.Bool("update", false, "write catalog.json")

// TestCatalog holds catalog.json, which tools read, to the declarations. After a
// change of these, go generate rewrites it.
func TestCatalog(t *testing.T) {
	document, err := catalog.Of(DepartedTopic, CancelledTopic)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if _, err := document.WriteTo(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("catalog.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("catalog.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("catalog.json is not what the topics declare: run go generate in this directory")
	}
}
