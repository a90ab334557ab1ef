package wire

import (
	"errors"
	"mime"
	"net/url"
	"strings"
)

// These follow the name of the attribute or the setting in the text.
var (
	errReference = errors.New("is not a URI-reference (RFC 3986)")
	errURI       = errors.New("is not an absolute URI (RFC 3986)")
	errMediaType = errors.New("is not a media type (RFC 2046)")
	errFormat    = errors.New("is an event format, which no data can have")
)

// CheckReference returns an error if value is not a URI-reference, which the
// source of an event must be (CloudEvents 3.1.1).
func CheckReference(value string) error {
	// Package url accepts characters that RFC 3986 does not.
	if _, err := url.Parse(value); err != nil || strings.ContainsFunc(value, notURI) {
		return errReference
	}
	return nil
}

// CheckURI returns an error if value is not a URI with a scheme, which the
// dataschema of an event must be (CloudEvents 3.1.2).
func CheckURI(value string) error {
	if u, err := url.Parse(value); err != nil || !u.IsAbs() || CheckReference(value) != nil {
		return errURI
	}
	return nil
}

// notURI reports whether a character may not occur in a URI by RFC 3986, section 2.
// Package url lets most of them through.
func notURI(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", r)
}

// CheckMediaType returns an error if value can't be the type of an event's data:
// it must be a media type (CloudEvents 3.1.2), and not an event format. The Kafka
// binding gives datacontenttype the header that also tells the modes apart, so
// such a type would turn the record into another event.
func CheckMediaType(value string) error {
	if format(value) != formatNone {
		return errFormat
	}
	m, _, err := mime.ParseMediaType(value)
	if main, sub, ok := strings.Cut(m, "/"); err != nil || !ok || main == "" || sub == "" {
		return errMediaType
	}
	return nil
}
