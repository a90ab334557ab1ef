package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/eventbus-go/eventbus/secret"
)

// FromEnvironment returns a registry that is configured by variables of the
// environment, which are read when it is used first:
//
//	EVENTBUS_REGISTRY_URLS                the servers, separated by commas
//	EVENTBUS_REGISTRY_USERNAME, _PASSWORD, _PASSWORD_FILE
//	EVENTBUS_REGISTRY_TOKEN, _TOKEN_FILE
//	EVENTBUS_REGISTRY_CLIENT_ID, _CLIENT_SECRET, _CLIENT_SECRET_FILE, _TOKEN_URL, _SCOPES
//	EVENTBUS_REGISTRY_CA_FILE, _CERTIFICATE_FILE, _KEY_FILE
//	EVENTBUS_REGISTRY_OFFLINE             a directory of schemas
func FromEnvironment() *Registry { return Lazy(ConfigFromEnvironment) }

// prefix begins the names of the variables.
const prefix = "EVENTBUS_REGISTRY_"

// ConfigFromEnvironment reads the variables of FromEnvironment.
func ConfigFromEnvironment() (Config, error) {
	var wrong []error
	get := func(name string) string { return strings.TrimSpace(os.Getenv(prefix + name)) }
	hidden := func(name string) secret.Value {
		file := get(name + "_FILE")
		if file == "" {
			return secret.Text(get(name))
		}
		v := secret.File(file)
		if _, err := v.Reveal(); err != nil {
			wrong = append(wrong, fmt.Errorf("%s%s_FILE: %w", prefix, name, err))
		}
		return v
	}
	c := Config{Username: get("USERNAME"), Password: hidden("PASSWORD"), Token: hidden("TOKEN")}
	c.URLs = strings.FieldsFunc(get("URLS"), func(r rune) bool { return r == ',' || r == ' ' })
	if id := get("CLIENT_ID"); id != "" {
		c.Client = &ClientCredentials{TokenURL: get("TOKEN_URL"), ClientID: id, ClientSecret: hidden("CLIENT_SECRET"), Scopes: strings.Fields(get("SCOPES"))}
	}
	if dir := get("OFFLINE"); dir != "" {
		c.Offline = os.DirFS(dir)
	}
	var err error
	c.TLS, err = tlsOf(get("CA_FILE"), get("CERTIFICATE_FILE"), get("KEY_FILE"))
	return c, errors.Join(append(wrong, err)...)
}

// tlsOf returns nil where no file is named.
func tlsOf(authority, certificate, key string) (*tls.Config, error) {
	if authority == "" && certificate == "" && key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if authority != "" {
		content, err := os.ReadFile(authority)
		if err != nil {
			return nil, fmt.Errorf("%sCA_FILE: %w", prefix, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%sCA_FILE: %s holds no certificate", prefix, authority)
		}
	}
	if certificate != "" || key != "" {
		own, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("%sCERTIFICATE_FILE and %sKEY_FILE: %w", prefix, prefix, err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}
