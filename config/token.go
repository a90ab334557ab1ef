package config

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/secret"
)

// tokenFrom returns a function that reads the token of each connection from a file,
// which something else renews: a projected service account token of Kubernetes, for
// instance.
func tokenFrom(path string) func(context.Context) (kafka.Token, error) {
	return func(context.Context) (kafka.Token, error) {
		token, err := secret.File(path).Reveal()
		if err != nil {
			return kafka.Token{}, err
		}
		return kafka.Token{Value: secret.Text(token), Expires: expiry(token)}, nil
	}
}

// expiry returns the claim "exp" of a JSON web token (RFC 7519, section 4.1.4), the
// zero time for any other token. It verifies nothing: the broker does.
func expiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Expires <= 0 || claims.Expires > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Expires), 0)
}
