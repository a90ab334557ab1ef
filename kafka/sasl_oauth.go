package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// oauthBearer is the SASL mechanism OAUTHBEARER (RFC 7628, KIP-255).
type oauthBearer struct {
	token  func(context.Context) (Token, error)
	expiry atomic.Int64 // of the last token, in Unix nanoseconds; 0 if unknown
}

// Name returns the name by which brokers know the mechanism.
func (*oauthBearer) Name() string { return "OAUTHBEARER" }

// fetch calls the user's function. A panic becomes an error without its text, which may
// contain a token.
func (o *oauthBearer) fetch(ctx context.Context) (t Token, err error) {
	defer func() {
		if recover() != nil {
			t, err = Token{}, errors.New("SASL.Token panicked")
		}
	}()
	return o.token(ctx)
}

// Start asks for a token and returns the client's only message.
func (o *oauthBearer) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	t, err := o.fetch(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("OAUTHBEARER token: %w", err)
	}
	first, err := t.clientResponse()
	if err != nil {
		return nil, nil, err
	}
	o.expiry.Store(0)
	if !t.Expires.IsZero() {
		o.expiry.Store(t.Expires.UnixNano())
	}
	return o, first, nil
}

// Next reads the broker's answer: nothing if it accepts the token, otherwise a JSON object
// with the reason. The error shows the beginning of that.
func (o *oauthBearer) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) > 0 {
		return false, nil, fmt.Errorf("%w: the broker refuses the OAUTHBEARER token: %.200s", kerr.SaslAuthenticationFailed, challenge)
	}
	return true, nil, nil
}

// expires returns when the latest token expires, or the zero time if that is unknown.
func (o *oauthBearer) expires() time.Time {
	if at := o.expiry.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// clientResponse returns the initial client response of RFC 7628, section 3.1. It refuses
// values with the separator \x01, which could add fields.
func (t Token) clientResponse() ([]byte, error) {
	value, err := t.Value.Reveal()
	if err != nil {
		return nil, fmt.Errorf("OAUTHBEARER token: %w", err)
	}
	if value == "" || strings.Contains(value, "\x01") {
		return nil, errors.New("OAUTHBEARER token: SASL.Token returned an empty or malformed value")
	}
	b := []byte("n,,\x01auth=Bearer " + value + "\x01")
	for _, key := range slices.Sorted(maps.Keys(t.Extensions)) {
		value := t.Extensions[key]
		if key == "auth" || strings.ContainsAny(key, "\x01=") || strings.Contains(value, "\x01") {
			return nil, fmt.Errorf("OAUTHBEARER token: extension %q is not allowed", key)
		}
		b = append(b, key+"="+value+"\x01"...)
	}
	return append(b, '\x01'), nil
}
