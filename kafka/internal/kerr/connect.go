package kerr

import (
	"crypto/tls"
	"errors"
)

// ConnectError is the error of a connection that could not be established. Its text is
// composed where the tried addresses are known, and names each with its own cause. Callers
// several layers above print it unchanged.
type ConnectError struct {
	What string // the whole text: the broker, the addresses tried, the causes
	Err  error  // one of the causes, for errors.Is
}

// Error returns What.
func (e *ConnectError) Error() string { return e.What }

// Unwrap returns Err.
func (e *ConnectError) Unwrap() error { return e.Err }

// Misconfigured reports whether err comes from a TLS handshake that one side refused: a
// certificate of an unknown authority, for another name, expired or missing. It will fail
// again until somebody changes a file or a setting, so a caller that has accepted nothing yet
// should get it at once. It still counts as a lost connection, since certificates are
// renewed: what was accepted is retried until its time is over.
func Misconfigured(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.AlertError](err)
	return ok
}
