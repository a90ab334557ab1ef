package registry_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/secret"
)

func TestEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EVENTBUS_REGISTRY_URLS", "http://a:1, http://b:2")
	t.Setenv("EVENTBUS_REGISTRY_TOKEN_FILE", file)
	c, err := registry.ConfigFromEnvironment()
	if err != nil || len(c.URLs) != 2 || reveal(t, c.Token) != "secret" || strings.Contains(c.String(), "secret") {
		t.Errorf("%v, %v", c, err)
	}
	t.Setenv("EVENTBUS_REGISTRY_CA_FILE", file)
	t.Setenv("EVENTBUS_REGISTRY_PASSWORD_FILE", file+"x")
	if _, err := registry.ConfigFromEnvironment(); err == nil || !strings.Contains(err.Error(), "CA_FILE") || !strings.Contains(err.Error(), "PASSWORD_FILE") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	if _, err := registry.FromEnvironment().Subjects(t.Context()); err == nil || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("%v", err)
	}
}

// reveal returns what a secret holds.
func reveal(t *testing.T, v secret.Value) string {
	t.Helper()
	text, err := v.Reveal()
	if err != nil {
		t.Error(err)
	}
	return text
}
