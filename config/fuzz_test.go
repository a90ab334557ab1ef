package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/config"
)

// FuzzLoad feeds files and a variable with anything: an answer or an error, never
// a panic, and never the password.
func FuzzLoad(f *testing.F) {
	for _, path := range []string{"testdata/every.yaml", "testdata/mailer.yaml", "testdata/over.json"} {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(content), filepath.Ext(path), "EventBus__Tls=x")
	}
	f.Add("{ // a\n\"EventBus\": {\"Tls\": null, \"tls\": {\"x\": [1,],},}, /* b", ".json", "eventbus__tls__enabled=1")
	f.Add("? [a]\n: {b: *c}\n", ".yaml", "__")
	f.Add("EventBus: {1: 2, x: {y: 2001-01-01}}", ".yml", "EventBus=")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content, extension, variable string) {
		if extension != ".json" && extension != ".yaml" {
			extension = ".yaml"
		}
		path := filepath.Join(dir, "fuzz"+extension)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		const password = "\u00abpassword\u00bb"
		c, err := config.Load(config.Files(path), config.Environ(variable, "EventBus__Sasl__Password="+password))
		if err != nil && strings.Contains(err.Error(), password) || strings.Contains(c.String(), password) {
			t.Fatalf("the password shows: %v, %v", err, c)
		}
	})
}
