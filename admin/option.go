package admin

import "net/http"

// Option configures a Handler.
type Option func(*handler)

// Token refuses every request that does not send the token. It panics if the
// token is empty, which would admit everyone.
func Token(token string) Option {
	if token == "" {
		panic("admin: Token needs one")
	}
	return func(h *handler) { h.token = token }
}

// LogLevel serves level under /log-level. A zap.AtomicLevel is such a handler.
func LogLevel(level http.Handler) Option {
	return func(h *handler) { h.level = level }
}
