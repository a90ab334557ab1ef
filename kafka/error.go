package kafka

import "github.com/eventbus-go/eventbus/kafka/internal/kerr"

// Error is an error code of Kafka's protocol, sent by a broker. Errors of this package wrap
// it: use errors.As to get the code, and errors.Is with the errors of package transport to
// find out what it means.
type Error = kerr.Error
