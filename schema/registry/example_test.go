package registry_test

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/schema/registry"
)

var schemas = registry.Lazy(func() (registry.Config, error) {
	var s registry.Settings
	if err := config.LoadSection("SchemaRegistry", &s); err != nil { // the section SchemaRegistry, or SchemaRegistry__Urls=… in the environment
		return registry.Config{}, err
	}
	return s.Config()
})

// A registry is configured by the same files as the bus.
func ExampleLazy() {
	fmt.Println(schemas.SchemaURI(7) == "") // nothing is configured here
	// Output: true
}

// The settings come from a section of the configuration files.
func ExampleSettings() {
	var s registry.Settings
	if err := config.LoadSection("SchemaRegistry", &s, config.Files("testdata/appsettings.json"), config.Environ("EventBus__Environment=Production")); err != nil {
		fmt.Println(err)
		return
	}
	_, err := s.Config() // the secret files of the example do not exist
	fmt.Println(len(s.URLs), s.ClientID, errors.Is(err, fs.ErrNotExist))
	// Output: 2 orders true
}
