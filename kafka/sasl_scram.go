package kafka

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/segmentio/kafka-go/sasl"
	franz "github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// maxIterations bounds the work that a broker may demand of a client. Kafka stores
// credentials with 4,096 to 16,384 iterations; this many take a second.
const maxIterations = 1 << 20

// scramMechanism authenticates kafka-go's connections by franz-go's SCRAM (RFC 5802), which is
// already linked for its protocol. kafka-go's own would link four more modules for SASLprep
// (RFC 4013), which Kafka's brokers don't do: they store and compare the bytes of the password.
type scramMechanism struct{ sasl SASL }

// Name returns the name by which brokers know the mechanism.
func (m scramMechanism) Name() string { return m.sasl.Mechanism }

// Start returns the client's first message, with a new nonce. It reads the current password.
func (m scramMechanism) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	password, err := m.sasl.password()
	if err != nil {
		return nil, nil, err
	}
	auth := scram.Auth{User: m.sasl.Username, Pass: password}
	mechanism := auth.AsSha256Mechanism()
	if m.sasl.Mechanism == "SCRAM-SHA-512" {
		mechanism = auth.AsSha512Mechanism()
	}
	session, first, err := mechanism.Authenticate(ctx, "")
	return scramSession{session}, first, err
}

type scramSession struct{ franz.Session }

// Next answers the server's first message with the proof, and checks the signature in its last
// one, so that a server that does not know the password is refused.
func (s scramSession) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if _, after, ok := bytes.Cut(challenge, []byte(",i=")); ok {
		count, _, _ := bytes.Cut(after, []byte(","))
		if n, err := strconv.Atoi(string(count)); err != nil || n > maxIterations {
			return false, nil, fmt.Errorf("SCRAM: the broker asks for %.20q iterations, more than %d", count, maxIterations)
		}
	}
	return s.Challenge(challenge)
}
