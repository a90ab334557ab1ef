package transporttest_test

import (
	"testing"

	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
	"github.com/eventbus-go/eventbus/transport/transporttest"
)

// A transport's test runs the suite, and says what the transport lacks. In a test, t is
// the test's own.
func Example() {
	_ = func(t *testing.T) {
		transporttest.Run(t, func(*testing.T) transport.Transport { return memory.New() },
			transporttest.Parallel(), transporttest.MetadataLimit(4096))
	}
}
