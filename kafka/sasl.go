package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	saslplain "github.com/segmentio/kafka-go/sasl/plain"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/secret"
)

// SASL describes how connections authenticate. The zero value means not at all. A SASL never
// shows the password when it is printed or logged.
type SASL struct {
	// Mechanism is "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512" or "OAUTHBEARER".
	Mechanism string
	// Username and Password are for PLAIN and SCRAM. PLAIN sends the password in clear: use
	// it with TLS only. The password is read for each new connection, so one in a file can be
	// replaced without a restart.
	Username string
	Password secret.Value
	// Token is for OAUTHBEARER. It is called concurrently, once for each new connection, and
	// should return a cached token while that is valid.
	Token func(context.Context) (Token, error) `json:"-"`
	// Custom is another mechanism, in place of all of the above, such as one for Amazon MSK's
	// IAM. It is used concurrently, once per connection. The host it gets is that of a
	// bootstrap address, even if another broker of the cluster answers there.
	Custom sasl.Mechanism `json:"-"`
	// SessionLifetime is the brokers' connections.max.reauth.ms, 0 if they have none. A
	// connection is replaced after 85 % of it, or of the remaining life of an OAUTHBEARER
	// token.
	SessionLifetime time.Duration
}

// Token is an OAUTHBEARER token (RFC 7628). It never shows its Value when it is printed or
// logged.
type Token struct {
	Value secret.Value
	// Expires is when brokers begin to refuse the token; zero if unknown.
	Expires time.Time
	// Extensions are SASL extensions by name (KIP-342). May be nil.
	Extensions map[string]string
}

var mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}

// validate adds the faults of the configuration, each with what to write instead. A password
// in a file must be readable now, rather than when the first connection needs it.
func (s SASL) validate(wrong *kerr.Faults) {
	kerr.OneOf(wrong, "SASL.Mechanism", s.Mechanism, mechanisms)
	if s.Custom != nil {
		if s.Mechanism != "" || s.Username != "" || !s.Password.IsZero() || s.Token != nil {
			wrong.Add("SASL.Custom brings its own credentials: leave Mechanism, Username, Password and Token out")
		}
		return
	}
	switch s.Mechanism {
	case "":
		if s.Username != "" || !s.Password.IsZero() || s.Token != nil {
			wrong.Add("SASL.Mechanism is missing though credentials are set: write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")
		}
	case "OAUTHBEARER":
		if s.Token == nil {
			wrong.Add("SASL.Token is missing: OAUTHBEARER needs a function that returns tokens")
		}
		if s.Username != "" || !s.Password.IsZero() {
			wrong.Add("SASL.Username and SASL.Password are not for OAUTHBEARER: leave them out, and return tokens from SASL.Token")
		}
	default:
		if s.Username == "" {
			wrong.Add("SASL.Username is missing: %s needs one", s.Mechanism)
		}
		if s.Password.IsZero() {
			wrong.Add("SASL.Password is missing: %s needs one", s.Mechanism)
		} else if _, err := s.Password.Reveal(); err != nil {
			wrong.Add("SASL.Password can't be read: %v", err)
		}
		if s.Token != nil {
			wrong.Add("SASL.Token is for OAUTHBEARER: leave it out, or write Mechanism: OAUTHBEARER")
		}
	}
	if s.SessionLifetime < 0 {
		wrong.Add("SASL.SessionLifetime is negative: write the brokers' connections.max.reauth.ms, or 0")
	}
}

// mechanism returns the mechanism for kafka-go, or nil for the zero SASL.
func (s SASL) mechanism() sasl.Mechanism {
	if s.Custom != nil {
		return hide(s.Custom)
	}
	switch s.Mechanism {
	case "":
		return nil
	case "PLAIN":
		return plainMechanism{s}
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		return scramMechanism{s}
	}
	return &oauthBearer{token: s.Token}
}

// plainMechanism authenticates by PLAIN (RFC 4616). It reads the password again for each
// connection.
type plainMechanism struct{ sasl SASL }

// Name returns the name by which brokers know the mechanism.
func (plainMechanism) Name() string { return "PLAIN" }

// Start returns the client's only message.
func (m plainMechanism) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	password, err := m.sasl.password()
	if err != nil {
		return nil, nil, err
	}
	return saslplain.Mechanism{Username: m.sasl.Username, Password: password}.Start(ctx)
}

// password returns the current password.
func (s SASL) password() (string, error) {
	password, err := s.Password.Reveal()
	if err != nil {
		return "", fmt.Errorf("SASL.Password can't be read: %w", err)
	}
	return password, nil
}

// String returns the mechanism and the name of the user, without the password.
func (s SASL) String() string {
	switch {
	case s.Custom != nil:
		return s.Custom.Name()
	case s.Mechanism == "":
		return "none"
	case s.Username == "":
		return s.Mechanism
	}
	return fmt.Sprintf("%s as %q", s.Mechanism, s.Username)
}

// Format prints String for every verb: %#v, for one, would print the password.
func (s SASL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue returns String, so that package log/slog logs no password.
func (s SASL) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String returns the time at which the token expires, without the token.
func (t Token) String() string {
	if t.Expires.IsZero() {
		return "token"
	}
	return "token that expires " + t.Expires.Format(time.RFC3339)
}

// Format prints String for every verb: %#v, for one, would print the token.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue returns String, so that package log/slog logs no token.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// sessionEnd returns when to replace a connection made at now, before brokers close it
// because its session has ended (KIP-368); the zero time means never. kafka-go can't
// reauthenticate a connection, so it is replaced after 85 % of the session, the point at
// which Kafka's Java client reauthenticates. oauth is nil without OAUTHBEARER.
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

// hidden is a user's mechanism with nothing to print: fmt shows the contents of structs,
// including unexported fields and pointers, but only the address of a function.
type hidden func() sasl.Mechanism

// hide returns m as a hidden mechanism.
func hide(m sasl.Mechanism) sasl.Mechanism { return hidden(func() sasl.Mechanism { return m }) }

// Name returns the mechanism's name.
func (h hidden) Name() string { return h().Name() }

// Start begins an authentication.
func (h hidden) Start(ctx context.Context) (sasl.StateMachine, []byte, error) { return h().Start(ctx) }
