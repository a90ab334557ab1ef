package admin

import (
	"encoding/json"
	"net/http"

	"github.com/eventbus-go/eventbus/secret"
)

// Option configures a Handler.
type Option func(*handler)

// Token refuses every request that does not send the token, which is read with each
// request. It panics if there is none, which would admit everyone.
func Token(token secret.Value) Option {
	if token.IsZero() {
		panic("admin: Token needs one")
	}
	return func(h *handler) { h.token = token }
}

// Protobuf has the AsyncAPI document with the schemas of Protobuf events as .proto text, by
// what catalog.AsyncAPIConfig.Protobuf takes, such as Of of package schema/protosource:
// a service that does without it does not link the printer.
func Protobuf(source func(schema json.RawMessage) (format, text string, err error)) Option {
	return func(h *handler) { h.protobuf = source }
}

// LogLevel serves level under /log-level. A zap.AtomicLevel is such a handler.
func LogLevel(level http.Handler) Option {
	return func(h *handler) { h.level = level }
}
