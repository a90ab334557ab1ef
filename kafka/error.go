package kafka

import "github.com/eventbus-go/eventbus/kafka/internal/kerr"

// Error is an error code of Kafka's protocol, as a broker answered it.
type Error = kerr.Error
