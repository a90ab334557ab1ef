package produce

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

var errProducerClosed = fmt.Errorf("kafka: the producer is %w", transport.ErrClosed)

// DeliveryError is the error of a record that was not delivered.
type DeliveryError struct {
	What    string // what happened to the record
	Cause   error  // may be nil
	Unknown bool   // the record may be in the log: the error is transport.ErrOutcomeUnknown
}

// Error says what happened, why, and whether the record may be in the log.
func (e *DeliveryError) Error() string {
	s := "kafka: " + e.What
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	if e.Unknown {
		s += " (the record may be in the log or not)"
	}
	return s
}

// Is reports whether target is transport.ErrOutcomeUnknown and the outcome is
// unknown.
func (e *DeliveryError) Is(target error) bool {
	return e.Unknown && target == transport.ErrOutcomeUnknown
}

// Unwrap returns the cause.
func (e *DeliveryError) Unwrap() error { return e.Cause }

// expired returns the error of a batch whose delivery deadline has passed.
func expired(within time.Duration, attempts int, cause error) *DeliveryError {
	what := fmt.Sprintf("not delivered within %s", within)
	if attempts > 0 {
		what += fmt.Sprintf(", %d attempts", attempts)
	}
	if cause == nil {
		cause = os.ErrDeadlineExceeded
	}
	return &DeliveryError{What: what, Cause: cause}
}

// behind returns the error of records that were queued behind a lost batch. They were not sent,
// since they would overtake it.
func behind(cause error) *DeliveryError {
	return &DeliveryError{What: "not sent, since an earlier record of the same partition was lost", Cause: &notSent{cause}}
}

// notSent is the cause of another record's failure. It hides that record's unknown outcome,
// since this record's is known.
type notSent struct{ err error }

// Error returns the text of the cause.
func (e *notSent) Error() string { return e.err.Error() }

// Is matches the cause's errors, except an unknown outcome.
func (e *notSent) Is(target error) bool {
	return target != transport.ErrOutcomeUnknown && errors.Is(e.err, target)
}

// refusal returns the error of a record that the broker refuses for its content. The message,
// from the broker or one of its policies, may say more than the code.
func refusal(code kerr.Error, message string, size int) error {
	if errors.Is(code, transport.ErrTooLarge) {
		return fmt.Errorf("kafka: %w", &transport.TooLargeError{Size: size})
	}
	if message != "" {
		return fmt.Errorf("kafka: %w: %s (%w)", transport.ErrRejected, message, code)
	}
	return fmt.Errorf("kafka: %w (%w)", transport.ErrRejected, code)
}

// appendedMaybe reports whether a leader that answers a batch with that error may have appended
// it. Kafka checks most things before it appends: the codes of those checks are listed. After
// that it waits for the replicas. If they are late it reports a timeout or too few replicas, or,
// if it has lost the partition meanwhile, that it is not the leader. An unexpected code says
// nothing about the log.
func appendedMaybe(code kerr.Error) bool {
	switch code {
	// The request is wrong or not allowed; 21 is INVALID_REQUIRED_ACKS, 89
	// THROTTLING_QUOTA_EXCEEDED.
	case kerr.CorruptMessage, kerr.MessageTooLarge, 17, kerr.RecordListTooLarge, 21, kerr.TopicAuthorizationFailed, 31,
		kerr.InvalidTimestamp, kerr.UnsupportedVersion, 42, 43, 44, 76, kerr.InvalidRecord, 89,
		// The wrong broker, or one that is not ready; 103 is INCONSISTENT_TOPIC_ID.
		kerr.LeaderNotAvailable, kerr.BrokerNotAvailable, 9, kerr.NotEnoughReplicas, kerr.UnknownLeaderEpoch, kerr.UnknownTopicID, 103,
		kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator,
		// The log refuses the producer's session or its numbers.
		kerr.OutOfOrderSequenceNumber, kerr.DuplicateSequenceNumber, kerr.InvalidProducerEpoch, kerr.UnknownProducerID:
		return false
	}
	return true
}

// infrastructure returns err if it says something about the broker's health, and nil if it is
// about a record or this client's rights. A broker that is loading a coordinator works: in a
// new cluster every producer's first request gets that answer a few times. So does a broker
// that no longer leads the partition, or not yet: this client's metadata is out of date, as
// with every restart of a broker, and a gate that closed on that would delay publishing long
// after there is a new leader.
func infrastructure(err error) error {
	if err == nil || !kerr.Retriable(err) {
		return nil
	}
	switch code, _ := errors.AsType[kerr.Error](err); code {
	case kerr.CoordinatorLoadInProgress, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.NotLeaderOrFollower, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch:
		return nil
	}
	return err
}
