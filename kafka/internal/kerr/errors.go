package kerr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/eventbus-go/eventbus/transport"
)

// Error is an error code of the Kafka protocol, as sent by a broker
// (https://kafka.apache.org/protocol.html#protocol_error_codes). errors.Is matches it with the
// transport.Err… value of the same meaning, if there is one.
type Error int16

// The codes that this package distinguishes.
const (
	UnknownServerError        Error = -1
	OffsetOutOfRange          Error = 1
	CorruptMessage            Error = 2
	UnknownTopicOrPartition   Error = 3
	LeaderNotAvailable        Error = 5
	NotLeaderOrFollower       Error = 6
	RequestTimedOut           Error = 7
	BrokerNotAvailable        Error = 8
	MessageTooLarge           Error = 10
	offsetMetadataTooLarge    Error = 12
	CoordinatorLoadInProgress Error = 14
	CoordinatorNotAvailable   Error = 15
	NotCoordinator            Error = 16
	RecordListTooLarge        Error = 18
	NotEnoughReplicas         Error = 19
	NotEnoughReplicasAppended Error = 20
	IllegalGeneration         Error = 22
	UnknownMemberID           Error = 25
	RebalanceInProgress       Error = 27
	TopicAuthorizationFailed  Error = 29
	InvalidTimestamp          Error = 32
	UnsupportedSaslMechanism  Error = 33
	UnsupportedVersion        Error = 35
	TopicAlreadyExists        Error = 36
	notController             Error = 41
	OutOfOrderSequenceNumber  Error = 45
	DuplicateSequenceNumber   Error = 46
	InvalidProducerEpoch      Error = 47
	ConcurrentTransactions    Error = 51
	KafkaStorageError         Error = 56
	SaslAuthenticationFailed  Error = 58
	UnknownProducerID         Error = 59
	NonEmptyGroup             Error = 68
	GroupIDNotFound           Error = 69
	FencedLeaderEpoch         Error = 74
	UnknownLeaderEpoch        Error = 75
	offsetNotAvailable        Error = 78
	MemberIDRequired          Error = 79
	FencedInstanceID          Error = 82
	InvalidRecord             Error = 87
	UnknownTopicID            Error = 100
	FencedMemberEpoch         Error = 110
	StaleMemberEpoch          Error = 113
)

// CodeError returns the error for a code in a response: nil for 0, otherwise an Error. Compare
// it by errors.Is, since callers wrap it.
func CodeError(code int16) error {
	if code == 0 {
		return nil
	}
	return Error(code)
}

// Name returns the code's name in Kafka's protocol, such as NOT_LEADER_OR_FOLLOWER.
func (e Error) Name() string {
	// The names begin with code −1.
	if i := int(e) + 1; i >= 0 && i < len(errorNames) && errorNames[i] != "" {
		return errorNames[i]
	}
	return "ERROR_" + strconv.Itoa(int(e))
}

// Error returns the name, which operators search for, and the code, which logs of other
// versions of Kafka show.
func (e Error) Error() string { return e.Name() + " (Kafka error " + strconv.Itoa(int(e)) + ")" }

// Is matches the transport's errors, so that packages above need not know codes. A code matches
// at most one of them.
func (e Error) Is(target error) bool {
	switch target {
	case transport.ErrTopicMissing:
		return e == UnknownTopicOrPartition || e == UnknownTopicID
	case transport.ErrTooLarge:
		return e == MessageTooLarge || e == RecordListTooLarge
	case transport.ErrUnauthorized:
		switch e {
		// Groups, the cluster, transactional IDs, delegation tokens, and refused
		// credentials.
		case TopicAuthorizationFailed, 30, 31, UnsupportedSaslMechanism, 53, SaslAuthenticationFailed, 65, 66, 93:
			return true
		}
	case transport.ErrRejected:
		switch e {
		// The request or its records are at fault, not the broker.
		case CorruptMessage, 17, InvalidTimestamp, 42, 43, 44, 76, InvalidRecord:
			return true
		}
	case transport.ErrFenced:
		switch e {
		case IllegalGeneration, UnknownMemberID, InvalidProducerEpoch, FencedInstanceID, 90, FencedMemberEpoch, StaleMemberEpoch:
			return true
		}
	case transport.ErrMetadataTooLarge:
		return e == offsetMetadataTooLarge
	}
	return false
}

// Retriable reports whether the same request may succeed later. These are the codes that Kafka
// marks as retriable, and three unmarked ones that Kafka's own clients retry: 9
// REPLICA_NOT_AVAILABLE, 51 CONCURRENT_TRANSACTIONS and 8 BROKER_NOT_AVAILABLE.
func (e Error) Retriable() bool {
	switch e {
	case CorruptMessage, UnknownTopicOrPartition, LeaderNotAvailable, NotLeaderOrFollower, RequestTimedOut,
		BrokerNotAvailable, 9, 13, CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator,
		NotEnoughReplicas, NotEnoughReplicasAppended, notController, ConcurrentTransactions, KafkaStorageError,
		70, 71, 72, FencedLeaderEpoch, UnknownLeaderEpoch, offsetNotAvailable, 80, 83, 84, 88, 89,
		UnknownTopicID, 103, 106:
		return true
	}
	return false
}

// Retriable reports whether a retry can help: for a Retriable code, and for any trouble with
// the connection, but not for the end of the caller's own context or refused credentials.
func Retriable(err error) bool {
	if err == nil || errors.Is(err, transport.ErrUnauthorized) || errors.Is(err, transport.ErrClosed) {
		return false
	}
	if code, ok := errors.AsType[Error](err); ok {
		return code.Retriable()
	}
	return LostConnection(err)
}

// LostConnection reports whether err came from a connection rather than from a broker's answer:
// the connection ended, timed out, was refused, or could not be established.
//
// A dead peer shows as io.EOF if it closed the connection, and as io.ErrClosedPipe or
// net.ErrClosed if this side did.
func LostConnection(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
	}
	_, ok := errors.AsType[*ConnectError](err)
	return ok
}

// FromClient returns err with the client library's error code converted to an Error. Such codes
// come from connection set-up and from the library's routing.
func FromClient(err error) error {
	if code, ok := errors.AsType[kafkago.Error](err); ok {
		return fmt.Errorf("%w%s", Error(code), detail(err, code))
	}
	return err
}

// detail returns what err says beyond the code's own text, after a colon.
func detail(err error, code kafkago.Error) string {
	said := strings.Replace(err.Error(), code.Error(), "", 1)
	if said = strings.Trim(said, ": "); said == "" {
		return ""
	}
	return ": " + said
}

// errorNames has the names from code −1 on, up to those of KIP-848. Later codes are shown by
// number.
var errorNames = [...]string{
	"UNKNOWN_SERVER_ERROR", "NONE", "OFFSET_OUT_OF_RANGE", "CORRUPT_MESSAGE", "UNKNOWN_TOPIC_OR_PARTITION",
	"INVALID_FETCH_SIZE", "LEADER_NOT_AVAILABLE", "NOT_LEADER_OR_FOLLOWER", "REQUEST_TIMED_OUT",
	"BROKER_NOT_AVAILABLE", "REPLICA_NOT_AVAILABLE", "MESSAGE_TOO_LARGE", "STALE_CONTROLLER_EPOCH",
	"OFFSET_METADATA_TOO_LARGE", "NETWORK_EXCEPTION", "COORDINATOR_LOAD_IN_PROGRESS",
	"COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "INVALID_TOPIC_EXCEPTION", "RECORD_LIST_TOO_LARGE",
	"NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "INVALID_REQUIRED_ACKS", "ILLEGAL_GENERATION",
	"INCONSISTENT_GROUP_PROTOCOL", "INVALID_GROUP_ID", "UNKNOWN_MEMBER_ID", "INVALID_SESSION_TIMEOUT",
	"REBALANCE_IN_PROGRESS", "INVALID_COMMIT_OFFSET_SIZE", "TOPIC_AUTHORIZATION_FAILED",
	"GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "INVALID_TIMESTAMP",
	"UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE", "UNSUPPORTED_VERSION", "TOPIC_ALREADY_EXISTS",
	"INVALID_PARTITIONS", "INVALID_REPLICATION_FACTOR", "INVALID_REPLICA_ASSIGNMENT", "INVALID_CONFIG",
	"NOT_CONTROLLER", "INVALID_REQUEST", "UNSUPPORTED_FOR_MESSAGE_FORMAT", "POLICY_VIOLATION",
	"OUT_OF_ORDER_SEQUENCE_NUMBER", "DUPLICATE_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH", "INVALID_TXN_STATE",
	"INVALID_PRODUCER_ID_MAPPING", "INVALID_TRANSACTION_TIMEOUT", "CONCURRENT_TRANSACTIONS",
	"TRANSACTION_COORDINATOR_FENCED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "SECURITY_DISABLED",
	"OPERATION_NOT_ATTEMPTED", "KAFKA_STORAGE_ERROR", "LOG_DIR_NOT_FOUND", "SASL_AUTHENTICATION_FAILED",
	"UNKNOWN_PRODUCER_ID", "REASSIGNMENT_IN_PROGRESS", "DELEGATION_TOKEN_AUTH_DISABLED",
	"DELEGATION_TOKEN_NOT_FOUND", "DELEGATION_TOKEN_OWNER_MISMATCH", "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED",
	"DELEGATION_TOKEN_AUTHORIZATION_FAILED", "DELEGATION_TOKEN_EXPIRED", "INVALID_PRINCIPAL_TYPE",
	"NON_EMPTY_GROUP", "GROUP_ID_NOT_FOUND", "FETCH_SESSION_ID_NOT_FOUND", "INVALID_FETCH_SESSION_EPOCH",
	"LISTENER_NOT_FOUND", "TOPIC_DELETION_DISABLED", "FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH",
	"UNSUPPORTED_COMPRESSION_TYPE", "STALE_BROKER_EPOCH", "OFFSET_NOT_AVAILABLE", "MEMBER_ID_REQUIRED",
	"PREFERRED_LEADER_NOT_AVAILABLE", "GROUP_MAX_SIZE_REACHED", "FENCED_INSTANCE_ID",
	"ELIGIBLE_LEADERS_NOT_AVAILABLE", "ELECTION_NOT_NEEDED", "NO_REASSIGNMENT_IN_PROGRESS",
	"GROUP_SUBSCRIBED_TO_TOPIC", "INVALID_RECORD", "UNSTABLE_OFFSET_COMMIT", "THROTTLING_QUOTA_EXCEEDED",
	"PRODUCER_FENCED", "RESOURCE_NOT_FOUND", "DUPLICATE_RESOURCE", "UNACCEPTABLE_CREDENTIAL",
	"INCONSISTENT_VOTER_SET", "INVALID_UPDATE_VERSION", "FEATURE_UPDATE_FAILED",
	"PRINCIPAL_DESERIALIZATION_FAILURE", "SNAPSHOT_NOT_FOUND", "POSITION_OUT_OF_RANGE", "UNKNOWN_TOPIC_ID",
	"DUPLICATE_BROKER_REGISTRATION", "BROKER_ID_NOT_REGISTERED", "INCONSISTENT_TOPIC_ID",
	"INCONSISTENT_CLUSTER_ID", "TRANSACTIONAL_ID_NOT_FOUND", "FETCH_SESSION_TOPIC_ID_ERROR",
	"INELIGIBLE_REPLICA", "NEW_LEADER_ELECTED", "OFFSET_MOVED_TO_TIERED_STORAGE", "FENCED_MEMBER_EPOCH",
	"UNRELEASED_INSTANCE_ID", "UNSUPPORTED_ASSIGNOR", "STALE_MEMBER_EPOCH",
}

// LeaderMoved reports whether an error is a reason to look up the leader again. An error without
// a code comes from the connection: the broker may be gone, and another may lead now or soon.
func LeaderMoved(err error) bool {
	code, ok := errors.AsType[Error](err)
	if !ok {
		return true // the connection failed
	}
	switch code {
	case UnknownTopicOrPartition, UnknownTopicID, LeaderNotAvailable, NotLeaderOrFollower, BrokerNotAvailable, 9,
		KafkaStorageError, FencedLeaderEpoch, UnknownLeaderEpoch:
		return true
	}
	return false
}
