package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/eventbus-go/eventbus"
)

var (
	// ErrUnknown means that the registry has no such schema, subject or version.
	ErrUnknown = errors.New("the schema registry does not know it")
	// ErrIncompatible means that the registry refuses a schema because it would break
	// readers or writers of earlier ones. The text contains the registry's reasons.
	ErrIncompatible = errors.New("the schema registry calls the schema incompatible")
	// ErrInvalid means that the registry can't parse a schema.
	ErrInvalid = errors.New("the schema registry calls the schema invalid")
)

// Confluent's error codes that say more than the status does.
const (
	codeIncompatible  = 409
	codeInvalidSchema = 42201
	codeReadOnly      = 42205
)

// classify wraps the error of a call. Errors that may pass become Unavailable,
// including refused credentials, since an expired token is not the fault of an event.
func classify(doing string, err error) error {
	if err == nil {
		return nil
	}
	// Without an answer, the cause is the network, a timeout or TLS, and may pass.
	var answer *sr.ResponseError
	if !errors.As(err, &answer) {
		return eventbus.Unavailable(fmt.Errorf("%s: the schema registry can't be reached: %w", doing, err))
	}
	// The words help people find the field that is to blame.
	words := clip(answer.Message)
	switch status := answer.StatusCode; {
	case status == http.StatusNotFound && !aboutSchemas(answer):
		return eventbus.Unavailable(fmt.Errorf("%s: the server is not a schema registry (%d %s): check that URLs has the whole address, with its path", doing, status, words))
	case status == http.StatusNotFound:
		return fmt.Errorf("%s: %w (%d %s)", doing, ErrUnknown, status, words)
	case answer.ErrorCode == codeReadOnly:
		return eventbus.Unavailable(fmt.Errorf("%s: the schema registry takes nothing new for now: %s", doing, words))
	case status == http.StatusConflict || answer.ErrorCode == codeIncompatible:
		return fmt.Errorf("%s: %w: %s", doing, ErrIncompatible, words)
	case status == http.StatusUnprocessableEntity || answer.ErrorCode == codeInvalidSchema:
		return fmt.Errorf("%s: %w: %s", doing, ErrInvalid, words)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return eventbus.Unavailable(fmt.Errorf("%s: the schema registry refuses the credentials (%d)", doing, status))
	case status >= 300 && status < 400:
		return eventbus.Unavailable(fmt.Errorf("%s: the schema registry redirects (%d), which is not followed: name the final address in URLs", doing, status))
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		return eventbus.Unavailable(fmt.Errorf("%s: the schema registry answers %d %s", doing, status, words))
	default:
		return fmt.Errorf("%s: the schema registry answers %d %s", doing, status, words)
	}
}

// aboutSchemas reports whether a 404 answer means that the registry lacks a schema. A proxy
// whose registry is down, or a server that is not a registry, answers 404 too: without an error
// code, or with one and a text that says nothing about schemas.
func aboutSchemas(answer *sr.ResponseError) bool {
	return answer.ErrorCode != 0 && answer.Message != "HTTP 404 Not Found"
}

// elsewhere returns the error for an answer that is not a registry's, from a server that says
// 200 to everything. Otherwise its answer would be cached, and used to write.
func elsewhere(doing string) error {
	return eventbus.Unavailable(fmt.Errorf("%s: the server is not a schema registry, as its answer has no schema: check that URLs has the whole address, with its path", doing))
}

// known returns the schema in a registry's answer about a subject.
func known(doing string, answer *sr.SubjectSchema, err error) (*Schema, error) {
	switch {
	case err != nil:
		return nil, classify(doing, err)
	case answer.ID <= 0:
		return nil, elsewhere(doing)
	}
	return schemaOf(answer), nil
}

// mostWords bounds the text of an answer in errors, in bytes.
const mostWords = 1000

// clip makes a server's text short and safe to show.
func clip(words string) string {
	words = strings.Join(strings.FieldsFunc(words, func(r rune) bool { return r < ' ' || r == 0x7f || slices.Contains([]rune{0x85, 0x2028, 0x2029}, r) }), " ")
	words = strings.ToValidUTF8(words, "\uFFFD")
	if len(words) > mostWords {
		words = strings.ToValidUTF8(words[:mostWords], "") + "…"
	}
	return words
}
