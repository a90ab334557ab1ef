package kafka

import "github.com/eventbus-go/eventbus/kafka/internal/kerr"

// Error is an error code of Kafka's protocol, as a broker sent it. Errors of this
// package wrap it: use errors.As to find the code, and errors.Is with the errors
// of package transport to find what it means.
type Error = kerr.Error
