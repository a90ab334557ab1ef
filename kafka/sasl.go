package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	saslplain "github.com/segmentio/kafka-go/sasl/plain"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// SASL says how connections authenticate. The zero value doesn't.
//
// However it is printed or logged, the password is left out.
type SASL struct {
	// Mechanism is "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512" or "OAUTHBEARER".
	Mechanism string
	// Username and Password are for PLAIN and SCRAM.
	Username string
	Password string `json:"-"`
	// Token is for OAUTHBEARER. It is called for every connection that is made,
	// concurrently, and should return a cached token that is still good.
	Token func(context.Context) (Token, error) `json:"-"`
	// SessionLifetime is the brokers' connections.max.reauth.ms, if they have
	// one. Connections are replaced before it ends, and before an OAUTHBEARER
	// token expires.
	SessionLifetime time.Duration
}

// Token is an OAUTHBEARER token (RFC 7628).
type Token struct {
	Value string `json:"-"`
	// Expires is when brokers stop accepting it; zero if unknown.
	Expires time.Time
	// Extensions are SASL extensions (KIP-342).
	Extensions map[string]string
}

var mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}

func (s SASL) validate(wrong *kerr.Faults) {
	kerr.OneOf(wrong, "SASL.Mechanism", s.Mechanism, mechanisms)
	switch s.Mechanism {
	case "":
		if s.Username != "" || s.Password != "" || s.Token != nil {
			wrong.Add("SASL.Mechanism is missing though credentials are set: write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")
		}
	case "OAUTHBEARER":
		if s.Token == nil {
			wrong.Add("SASL.Token is missing: OAUTHBEARER needs a function that returns tokens")
		}
		if s.Username != "" || s.Password != "" {
			wrong.Add("SASL.Username and SASL.Password are not for OAUTHBEARER: leave them out, and return tokens from SASL.Token")
		}
	default:
		if s.Username == "" {
			wrong.Add("SASL.Username is missing: %s needs one", s.Mechanism)
		}
		if s.Password == "" {
			wrong.Add("SASL.Password is missing: %s needs one", s.Mechanism)
		}
		if s.Token != nil {
			wrong.Add("SASL.Token is for OAUTHBEARER: leave it out, or write Mechanism: OAUTHBEARER")
		}
	}
	if s.SessionLifetime < 0 {
		wrong.Add("SASL.SessionLifetime is negative: write the brokers' connections.max.reauth.ms, or 0")
	}
}

// mechanism returns what connections authenticate by, nil for the zero SASL.
func (s SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case "":
		return nil
	case "PLAIN":
		return saslplain.Mechanism{Username: s.Username, Password: s.Password}
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		return newScramMechanism(s)
	}
	return &oauthBearer{token: s.Token}
}

// String describes it without its secrets.
func (s SASL) String() string {
	switch {
	case s.Mechanism == "":
		return "none"
	case s.Username == "":
		return s.Mechanism
	}
	return fmt.Sprintf("%s as %q", s.Mechanism, s.Username)
}

// Format prints String for every verb, so that no verb prints the password.
func (s SASL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue logs String.
func (s SASL) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String says when the token expires, and not what it is.
func (t Token) String() string {
	if t.Expires.IsZero() {
		return "token"
	}
	return "token that expires " + t.Expires.Format(time.RFC3339)
}

// Format prints String for every verb, so that no verb prints the token.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue logs String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// sessionEnd is when a connection that is made at now should be replaced, because its session may
// end (KIP-368): the zero time if never. oauth is nil without OAUTHBEARER.
func (s SASL) sessionEnd(oauth *oauthBearer, now time.Time) time.Time {
	life := s.SessionLifetime
	if oauth != nil {
		if left := oauth.expires().Sub(now); left > 0 && (life <= 0 || left < life) {
			life = left
		}
	}
	if life <= 0 {
		return time.Time{}
	}
	return now.Add(life / 100 * 85)
}
