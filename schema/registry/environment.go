package registry

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FromEnvironment returns a registry that is configured by environment variables, which
// are read at its first use:
//
//	EVENTBUS_REGISTRY_URLS                the servers, separated by commas
//	EVENTBUS_REGISTRY_USERNAME, _PASSWORD, _PASSWORD_FILE
//	EVENTBUS_REGISTRY_TOKEN, _TOKEN_FILE
//	EVENTBUS_REGISTRY_CLIENT_ID, _CLIENT_SECRET, _CLIENT_SECRET_FILE, _TOKEN_URL, _SCOPES
//	EVENTBUS_REGISTRY_CA_FILE, _CERTIFICATE_FILE, _KEY_FILE, _SERVER_NAME
//	EVENTBUS_REGISTRY_OFFLINE             a directory of schemas
//	EVENTBUS_REGISTRY_TIMEOUT, _UNKNOWN_FOR, _CACHE_SIZE
//
// Any other variable with this prefix is an error: a misspelled one would otherwise be
// ignored silently.
func FromEnvironment() *Registry { return Lazy(ConfigFromEnvironment) }

// prefix begins the names of the variables.
const prefix = "EVENTBUS_REGISTRY_"

// ConfigFromEnvironment reads the variables of FromEnvironment.
func ConfigFromEnvironment() (Config, error) {
	var s Settings
	if err := s.Environment(); err != nil {
		return Config{}, err
	}
	return s.config(variable)
}

// Environment sets the fields whose variables of FromEnvironment are set, and leaves the
// others unchanged.
func (s *Settings) Environment() error {
	// The loop is over the variables rather than the fields, so that it finds
	// misspelled variables.
	fields := s.variables()
	var wrong []error
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		short, ours := strings.CutPrefix(name, prefix)
		value = strings.TrimSpace(value)
		if !ours || value == "" { // an empty variable counts as unset
			continue
		}
		field, known := fields[short]
		if !known {
			wrong = append(wrong, fmt.Errorf("%s is not a variable of the schema registry: use %s with one of %s", name, prefix, strings.Join(slices.Sorted(maps.Keys(fields)), ", ")))
			continue
		}
		if err := set(field, value); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(wrong...)
}

// variables returns the fields by the names of their variables, without the prefix.
func (s *Settings) variables() map[string]any {
	return map[string]any{
		"URLS": &s.URLs, "USERNAME": &s.Username, "PASSWORD": &s.Password, "PASSWORD_FILE": &s.PasswordFile, "TOKEN": &s.Token, "TOKEN_FILE": &s.TokenFile,
		"CLIENT_ID": &s.ClientID, "CLIENT_SECRET": &s.ClientSecret, "CLIENT_SECRET_FILE": &s.ClientSecretFile, "TOKEN_URL": &s.TokenURL, "SCOPES": &s.Scopes,
		"CA_FILE": &s.TLS.CAFile, "CERTIFICATE_FILE": &s.TLS.CertificateFile, "KEY_FILE": &s.TLS.KeyFile, "SERVER_NAME": &s.TLS.ServerName,
		"OFFLINE": &s.Offline, "TIMEOUT": &s.Timeout, "UNKNOWN_FOR": &s.UnknownFor, "CACHE_SIZE": &s.CacheSize,
	}
}

// variable returns the name of the variable that sets a field.
func variable(field string) string {
	field = strings.TrimPrefix(field, "TLS.")
	file := strings.HasSuffix(field, "File")
	if field = strings.TrimSuffix(field, "File"); field == "ClientSecret" {
		field = "CLIENT_SECRET"
	}
	if field = prefix + strings.ToUpper(field); file {
		field += "_FILE"
	}
	return field
}

// set sets a field to a value. Its errors don't show the value, which may be a secret
// in the wrong variable.
func set(field any, value string) (err error) {
	switch to := field.(type) {
	case *string:
		*to = value
	case *time.Duration:
		if *to, err = time.ParseDuration(value); err != nil {
			return errors.New("it is not a duration: write for example 5s")
		}
	case *int:
		if *to, err = strconv.Atoi(value); err != nil {
			return errors.New("it is not a number: write for example 1000")
		}
	case encoding.TextUnmarshaler:
		err = to.UnmarshalText([]byte(value))
	}
	return err
}
