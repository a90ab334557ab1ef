package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/secret"
)

// Settings is the configuration of a registry in files and the environment. Package
// config reads it from any section, by the names of the fields:
//
//	var s registry.Settings
//	err := config.LoadSection("SchemaRegistry", &s) // SchemaRegistry__Urls=…, or the section in appsettings.json
//
// The zero value configures nothing. Settings do not show their secrets, in whatever way
// they are printed.
type Settings struct {
	URLs List // the servers, separated by commas

	// At most one way to sign in: a name and a password, a bearer token, or OAuth's
	// client credentials. Passwords and tokens in files are read at each request,
	// client secrets at each new token.
	Username         string
	Password         secret.Value
	PasswordFile     string
	Token            secret.Value
	TokenFile        string
	ClientID         string
	ClientSecret     secret.Value
	ClientSecretFile string
	TokenURL         string
	Scopes           List

	TLS struct {
		CAFile          string // authorities in PEM, in place of the system's
		CertificateFile string // signs in by mutual TLS, with KeyFile
		KeyFile         string
		ServerName      string // the name in the server's certificate, if it differs from the URL's
	}

	Offline    string // a directory of schemas
	Timeout    time.Duration
	UnknownFor time.Duration
	CacheSize  int
}

// List is a list of words in one text, separated by commas or spaces.
type List []string

// UnmarshalText reads the words.
func (l *List) UnmarshalText(text []byte) error {
	*l = strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == ' ' })
	return nil
}

// IsZero reports whether nothing is configured.
func (s *Settings) IsZero() bool { return len(s.URLs) == 0 && s.Offline == "" }

// Config returns the configuration, for New or Lazy. It reads the file of authorities
// once. It reads a certificate and its key, which are short-lived, again for each
// connection, and checks now that the files of secrets exist. The error names each wrong
// field.
func (s *Settings) Config() (Config, error) {
	return s.config(func(field string) string { return field })
}

// config is Config with the names of fields in errors given by name, since the
// environment has other names.
func (s *Settings) config(name func(field string) string) (Config, error) {
	// All errors are collected, with the names that the user wrote.
	var wrong []error
	hidden := func(field string, text secret.Value, file string) secret.Value {
		switch {
		case file == "":
			return text
		case !text.IsZero():
			wrong = append(wrong, fmt.Errorf("%s and %s are both set: keep one", name(field), name(field+"File")))
		}
		v := secret.File(file)
		if _, err := v.Reveal(); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", name(field+"File"), err))
		}
		return v
	}
	c := Config{
		URLs: s.URLs, Username: s.Username, Password: hidden("Password", s.Password, s.PasswordFile), Token: hidden("Token", s.Token, s.TokenFile),
		Timeout: s.Timeout, UnknownFor: s.UnknownFor, CacheSize: s.CacheSize,
	}
	if own := hidden("ClientSecret", s.ClientSecret, s.ClientSecretFile); s.ClientID != "" || !own.IsZero() || s.TokenURL != "" || len(s.Scopes) > 0 {
		c.Client = &ClientCredentials{TokenURL: s.TokenURL, ClientID: s.ClientID, ClientSecret: own, Scopes: s.Scopes}
	}
	if s.Offline != "" {
		// Looked at here: errors of the file system that follows don't name the directory.
		if _, err := os.Stat(s.Offline); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", name("Offline"), err))
		}
		c.Offline = os.DirFS(s.Offline)
	}
	var err error
	if c.TLS, err = s.tls(name); err != nil {
		wrong = append(wrong, err)
	}
	return c, errors.Join(wrong...)
}

// tls returns nil if nothing is configured.
func (s *Settings) tls(name func(field string) string) (*tls.Config, error) {
	t := s.TLS // a copy: s may change before connections are made
	if t == (Settings{}).TLS {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		content, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name("TLS.CAFile"), err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s: %s holds no certificate", name("TLS.CAFile"), t.CAFile)
		}
	}
	if t.CertificateFile != "" || t.KeyFile != "" {
		own, err := tls.LoadX509KeyPair(t.CertificateFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", name("TLS.CertificateFile"), name("TLS.KeyFile"), err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			// A renewal may be half written: the certificate that was read at first is
			// used then.
			if renewed, err := tls.LoadX509KeyPair(t.CertificateFile, t.KeyFile); err == nil {
				return &renewed, nil
			}
			return &own, nil
		}
	}
	return c, nil
}
