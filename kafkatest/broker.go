package kafkatest

import (
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest/embedded"
)

// BrokersVariable is the environment variable that names the brokers of Open:
// addresses, host:port, with commas between.
const BrokersVariable = "EVENTBUS_TEST_BROKERS"

// NewBroker returns a cluster of one broker inside the process, which speaks the
// Kafka protocol over loopback connections: everything runs but a real Kafka.
func NewBroker(t testing.TB) *Cluster {
	t.Helper()
	broker, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
	t.Cleanup(broker.Close)
	return overBrokers(t, testEnvironment, broker.Brokers())
}

// Open returns the cluster that brokers name, or without any the environment
// variable EVENTBUS_TEST_BROKERS. Where that is empty too the test is skipped.
//
// The topics stay when the test has ended; their environment is a new one for each
// Cluster.
func Open(t testing.TB, brokers ...string) *Cluster {
	t.Helper()
	if len(brokers) == 0 {
		for broker := range strings.SplitSeq(os.Getenv(BrokersVariable), ",") {
			if broker = strings.TrimSpace(broker); broker != "" {
				brokers = append(brokers, broker)
			}
		}
	}
	if len(brokers) == 0 {
		t.Skipf("%s names no brokers", BrokersVariable)
	}
	return overBrokers(t, "test-"+uuid.NewString()[:8], brokers)
}

func overBrokers(t testing.TB, environment string, brokers []string) *Cluster {
	t.Helper()
	config := kafka.Config{Brokers: brokers}
	if err := config.Validate(); err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
	return newCluster(t, &Cluster{transport: kafka.New(config), brokers: brokers, environment: environment})
}
