package admin

import (
	"encoding/json"
	"net/http"

	"github.com/eventbus-go/eventbus/secret"
)

// Option configures a Handler.
type Option func(*handler)

// Token refuses every request that does not send the token, which is read for each
// request. Token panics if token is zero, because that would admit everyone.
func Token(token secret.Value) Option {
	if token.IsZero() {
		panic("admin: Token needs one")
	}
	return func(h *handler) { h.token = token }
}

// Protobuf makes the AsyncAPI document show the schemas of Protobuf events as .proto
// text. It takes the same functions as catalog.AsyncAPIConfig.Protobuf, such as Of of
// package schema/protosource. A service that does not use it does not link the printer.
func Protobuf(source func(schema json.RawMessage) (format, text string, err error)) Option {
	return func(h *handler) { h.protobuf = source }
}

// LogLevel serves level under /log-level. A zap.AtomicLevel is such a handler.
func LogLevel(level http.Handler) Option {
	return func(h *handler) { h.level = level }
}
