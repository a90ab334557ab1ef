package admin

import "net/http"

// Option changes a Handler.
type Option func(*handler)

// Token has every request refused that does not send the token. It panics when
// the token is empty, which would be the same as none.
func Token(token string) Option {
	if token == "" {
		panic("admin: Token needs one")
	}
	return func(h *handler) { h.token = token }
}

// LogLevel serves /log-level: a zap.AtomicLevel is the handler for it.
func LogLevel(level http.Handler) Option {
	return func(h *handler) { h.level = level }
}
