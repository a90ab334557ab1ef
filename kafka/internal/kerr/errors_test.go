package kerr

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/eventbus-go/eventbus/transport"
)

// TestFromClient: the text of a client library's error appears once, with what the
// broker added to its code.
func TestFromClient(t *testing.T) {
	said := fmt.Errorf("%w: Authentication failed: invalid credentials", kafkago.SASLAuthenticationFailed)
	for err, want := range map[error]string{
		said:                             "SASL_AUTHENTICATION_FAILED (Kafka error 58): Authentication failed: invalid credentials",
		kafkago.SASLAuthenticationFailed: "SASL_AUTHENTICATION_FAILED (Kafka error 58)",
		io.EOF:                           "EOF",
	} {
		if got := FromClient(err).Error(); got != want {
			t.Errorf("%q becomes %q, want %q", err, got, want)
		}
	}
}

// TestMisconfigured: only errors that a change of files or settings would fix.
func TestMisconfigured(t *testing.T) {
	for err, want := range map[error]bool{
		&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}: true,
		tls.AlertError(42):             true,
		tls.RecordHeaderError{Msg: ""}: true,
		io.EOF:                         false,
		NotLeaderOrFollower:            false,
	} {
		wrapped := &ConnectError{What: "no connection", Err: fmt.Errorf("TLS handshake: %w", err)}
		if got := Misconfigured(wrapped); got != want {
			t.Errorf("Misconfigured(%v) = %v, want %v", err, got, want)
		}
		if !Retriable(wrapped) && err != error(NotLeaderOrFollower) {
			t.Errorf("what was accepted is not tried again after %v", err)
		}
	}
}

// TestErrorNames: codes have the right names, also at the end of the table.
func TestErrorNames(t *testing.T) {
	for code, want := range map[Error]string{
		UnknownServerError: "UNKNOWN_SERVER_ERROR", UnsupportedSaslMechanism: "UNSUPPORTED_SASL_MECHANISM",
		RecordListTooLarge: "RECORD_LIST_TOO_LARGE", StaleMemberEpoch: "STALE_MEMBER_EPOCH", 999: "ERROR_999",
	} {
		if got := code.Error(); !strings.HasPrefix(got, want+" (Kafka error ") {
			t.Errorf("%d is %q, want %s", int(code), got, want)
		}
	}
	if !UnsupportedSaslMechanism.Is(transport.ErrUnauthorized) || !RecordListTooLarge.Is(transport.ErrTooLarge) {
		t.Error("a code is not the transport's error that means the same")
	}
}
