package kafkatest

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest/embedded"
)

// BrokersVariable is the environment variable that names the brokers of Open:
// host:port addresses, separated by commas.
const BrokersVariable = "EVENTBUS_TEST_BROKERS"

// NewBroker returns a cluster of one broker inside the process, which speaks the Kafka
// protocol over loopback connections. Only the server is not the real one.
//
// In a testing/synctest bubble the connections are in memory, which lets the
// bubble's clock advance: sessions, heartbeats and backoffs take no time. Other
// clients can't use the addresses of Brokers then.
func NewBroker(t testing.TB) *Cluster {
	t.Helper()
	// A socket would keep a bubble's clock from advancing, so the broker uses
	// in-memory connections there.
	_, bubble := deadlineOf(t)
	broker, err := embedded.Start(embedded.Config{InProcess: bubble})
	if err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
	// The broker closes after the buses: Cleanups run in reverse.
	t.Cleanup(broker.Close)
	return overBrokers(t, testEnvironment, broker.Brokers(), newNetwork(broker.Dial))
}

// Open returns the cluster at brokers or, without any, at those that the
// environment variable EVENTBUS_TEST_BROKERS names. The test is skipped if that is
// empty too.
//
// The topics remain after the test. Each Cluster has a new environment.
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
	return overBrokers(t, "test-"+uuid.NewString()[:8], brokers, newNetwork(new(net.Dialer).DialContext))
}

// overBrokers returns a cluster over the Kafka driver. A bad address fails the test
// at once.
func overBrokers(t testing.TB, environment string, brokers []string, network *network) *Cluster {
	t.Helper()
	// All buses dial through network, so that Disconnect can end every connection.
	config := kafka.Config{Brokers: brokers, Dial: network.dial}
	if err := config.Validate(); err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
	return newCluster(t, &Cluster{transport: kafka.New(config), brokers: brokers, network: network, environment: environment})
}
