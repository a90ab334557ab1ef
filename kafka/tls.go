package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// TLSFiles names PEM files. They are read again for each connection, so renewed
// certificates take effect without a restart. TLS 1.2 is the minimum. The zero
// value means connections without TLS.
type TLSFiles struct {
	// CA is the file with the certificates of the authorities that may sign brokers'
	// certificates. Empty means the system's authorities.
	CA string
	// Certificate and Key are the files that identify this client to brokers that ask for
	// it (mTLS). Set both or neither.
	Certificate, Key string
	// ServerName is the name that brokers' certificates must be valid for. Empty means
	// the dialed host.
	ServerName string
}

// secure reports whether connections use TLS.
func (c Config) secure() bool { return c.TLS != nil || c.TLSFiles != TLSFiles{} }

// validateTLS adds the faults of the TLS configuration. It reads the files, so that a wrong
// path is found before a connection needs it.
func (c Config) validateTLS(wrong *kerr.Faults) {
	files := c.TLSFiles
	switch {
	case c.TLS != nil && files != TLSFiles{}:
		wrong.Add("TLS and TLSFiles are both set: set one of them")
	case files.Certificate != "" && files.Key == "":
		wrong.Add("TLSFiles.Key is missing: name the file with the key of TLSFiles.Certificate")
	case files.Certificate == "" && files.Key != "":
		wrong.Add("TLSFiles.Certificate is missing: name the file with the certificate of TLSFiles.Key")
	case files != TLSFiles{}:
		if _, err := files.load(); err != nil {
			wrong.Add("TLSFiles: %v: name readable PEM files", err)
		}
	}
}

// tlsConfig returns the configuration for a new connection to addr, or nil without TLS. It
// reads the files each time, so that renewed certificates take effect.
func (c Config) tlsConfig(addr string) (*tls.Config, error) {
	var conf *tls.Config
	switch {
	case c.TLS != nil:
		conf = c.TLS.Clone()
	case c.TLSFiles != TLSFiles{}:
		loaded, err := c.TLSFiles.load()
		if err != nil {
			return nil, fmt.Errorf("TLS files: %w", err)
		}
		conf = loaded
	default:
		return nil, nil
	}
	if conf.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		conf.ServerName = host
	}
	return conf, nil
}

// load reads the files in their current state.
func (f TLSFiles) load() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", f.CA)
		}
	}
	if f.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}
