package transporttest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/transport"
)

// Option says what a transport can and cannot do.
type Option func(*suite)

// Lacks skips one test, by its full name such as "Group/Static", and says why.
func Lacks(test, why string) Option { return func(s *suite) { s.lacks[test] = why } }

// Parallel runs the tests concurrently, each with its own transport.
func Parallel() Option { return func(s *suite) { s.parallel = true } }

// InBubble runs each test in a bubble of testing/synctest. The transport must then wait only on
// channels and timers made in the bubble, and leave no goroutine. A transport that hangs is
// reported at once, as a deadlock.
func InBubble() Option { return func(s *suite) { s.bubble = true } }

// Leaks looks for goroutines that remain once a test's transport is closed. It can't be combined
// with Parallel.
func Leaks(options ...goleak.Option) Option {
	return func(s *suite) { s.leaks = func(t *testing.T) { goleak.VerifyNone(t, options...) } }
}

// MetadataLimit sets the number of characters above which the cluster refuses a commit's
// metadata. Without it that limit is not tested.
func MetadataLimit(characters int) Option {
	return func(s *suite) { s.metadataLimit = characters }
}

// AddPartitions sets the function that grows a topic to a total of partitions. tr is the
// transport that open returned. Without it growing topics are not tested.
func AddPartitions(f func(ctx context.Context, tr transport.Transport, topic string, total int32) error) Option {
	return func(s *suite) { s.addPartitions = f }
}

// DeleteRecords sets the function that removes the records before an offset. Without it
// retention is not tested.
func DeleteRecords(f func(ctx context.Context, tr transport.Transport, p transport.Partition, before int64) error) Option {
	return func(s *suite) { s.deleteRecords = f }
}

// DeleteTopic sets the function that deletes a topic, and returns once it can be created again.
// Without it that is not tested.
func DeleteTopic(f func(ctx context.Context, tr transport.Transport, topic string) error) Option {
	return func(s *suite) { s.deleteTopic = f }
}

// suite has the options. It does not change once the tests run, so parallel tests read it
// without a lock.
type suite struct {
	// lacks has the reason by "Part/Test". patience bounds each wait; it is no measure of how
	// long something should take. A nil function or a zero limit skips the tests that need
	// it. If leaks is nil, goroutines are not checked.
	open             func(t *testing.T) transport.Transport
	lacks            map[string]string
	patience         time.Duration
	parallel, bubble bool
	leaks            func(t *testing.T)
	metadataLimit    int
	addPartitions    func(context.Context, transport.Transport, string, int32) error
	deleteRecords    func(context.Context, transport.Transport, transport.Partition, int64) error
	deleteTopic      func(context.Context, transport.Transport, string) error
}
