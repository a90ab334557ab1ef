package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/config"
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
	t.Setenv("EVENTBUS_REGISTRY_TIMEOUT", "7s")
	t.Setenv("EVENTBUS_REGISTRY_USERNAME", "")
	c, err := registry.ConfigFromEnvironment()
	if err != nil || len(c.URLs) != 2 || reveal(t, c.Token) != "secret" || c.Timeout != 7*time.Second || strings.Contains(c.String(), "secret") {
		t.Errorf("%v, %v", c, err)
	}
	t.Setenv("EVENTBUS_REGISTRY_CA_FILE", file)
	t.Setenv("EVENTBUS_REGISTRY_PASSWORD_FILE", file+"x")
	t.Setenv("EVENTBUS_REGISTRY_OFFLINE", file+"y")
	t.Setenv("EVENTBUS_REGISTRY_TOKEN", "secret")
	_, err = registry.ConfigFromEnvironment()
	wants(t, err, "REGISTRY_CA_FILE: ", "REGISTRY_PASSWORD_FILE: ", "REGISTRY_OFFLINE: stat "+file+"y", "EVENTBUS_REGISTRY_TOKEN and EVENTBUS_REGISTRY_TOKEN_FILE are both set")
	if _, err := registry.FromEnvironment().Subjects(t.Context()); err == nil || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("%v", err)
	}
	t.Setenv("EVENTBUS_REGISTRY_PASWORD", "secret")
	t.Setenv("EVENTBUS_REGISTRY_CACHE_SIZE", "secret")
	t.Setenv("EVENTBUS_REGISTRY_TIMEOUT", "secret")
	_, err = registry.ConfigFromEnvironment()
	wants(t, err, "EVENTBUS_REGISTRY_PASWORD is not a variable", "EVENTBUS_REGISTRY_CACHE_SIZE: it is not a number", "EVENTBUS_REGISTRY_TIMEOUT: it is not a duration")
}

// The registry is configured like everything else, by a section of the files that
// package config reads and by variables.
func TestSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	section := fmt.Sprintf(`{"SchemaRegistry": {"Urls": "http://a:1 http://b:2", "Username": "me", "PasswordFile": %q, "UnknownFor": "00:02:00", "CacheSize": 7, "Tls": {"ServerName": "c"}}}`, password)
	for name, content := range map[string]string{"appsettings.json": section, "password": "secret\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var s registry.Settings
	err := config.LoadSection("SchemaRegistry", &s, config.Directory(dir), config.Environ("SchemaRegistry__Timeout=3s", "EventBus__Environment=Test"))
	if err != nil || s.IsZero() {
		t.Fatalf("%+v, %v", s, err)
	}
	c, err := s.Config()
	if err != nil || len(c.URLs) != 2 || c.Username != "me" || reveal(t, c.Password) != "secret" || c.UnknownFor != 2*time.Minute || c.Timeout != 3*time.Second || c.CacheSize != 7 || c.TLS.ServerName != "c" {
		t.Errorf("%+v, %v", c, err)
	}
	if text := fmt.Sprintf("%v %+v %#v", s, &s, s); strings.Contains(text, "secret\n") {
		t.Errorf("printed: %s", text)
	}
	// The error names what OAuth lacks, and a misspelled key is an error.
	s = registry.Settings{}
	err = config.LoadSection("SchemaRegistry", &s, config.Directory(dir), config.Environ("SchemaRegistry__Urls=http://a:1", "SchemaRegistry__ClientId=me", "SchemaRegistry__Username=", "SchemaRegistry__PasswordFile=", "EventBus__Environment=Test"))
	if err == nil {
		if c, err = s.Config(); err == nil {
			_, err = registry.New(c)
		}
	}
	wants(t, err, "Client.TokenURL is not an http", "Client needs ClientID and ClientSecret")
	err = config.LoadSection("SchemaRegistry", new(registry.Settings), config.Directory(dir), config.Environ("SchemaRegistry__Pasword=secret", "SchemaRegistry__Tls__Cafile=x", "EventBus__Environment=Test"))
	wants(t, err, "did you mean SchemaRegistry:Password?")
}

// wants checks the parts of an error, which never shows a secret.
func wants(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(strings.ReplaceAll(err.Error(), "the secret", ""), `"secret"`) {
			t.Errorf("%v, want %q in it", err, part)
		}
	}
}

// reveal returns the text of a secret.
func reveal(t *testing.T, v secret.Value) string {
	t.Helper()
	text, err := v.Reveal()
	if err != nil {
		t.Error(err)
	}
	return text
}
