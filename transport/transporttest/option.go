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

// Lacks skips one test, named as it is shown ("Group/Static"), and says why.
func Lacks(test, why string) Option { return func(s *suite) { s.lacks[test] = why } }

// Parallel runs the tests side by side, each with a transport of its own.
func Parallel() Option { return func(s *suite) { s.parallel = true } }

// InBubble runs each test in a bubble of testing/synctest: all waiting of the
// transport is then on channels and timers made in it, and it leaves no goroutine. A
// transport that stops for good is reported as a deadlock at once.
func InBubble() Option { return func(s *suite) { s.bubble = true } }

// Leaks looks for goroutines that are left when a test's transport is closed. It
// does not go together with Parallel.
func Leaks(options ...goleak.Option) Option {
	return func(s *suite) { s.leaks = func(t *testing.T) { goleak.VerifyNone(t, options...) } }
}

// MetadataLimit says at how many characters the cluster refuses a commit's
// metadata. Without it that is not tested.
func MetadataLimit(characters int) Option {
	return func(s *suite) { s.metadataLimit = characters }
}

// AddPartitions says how a topic grows to a total of partitions. Without it topics
// that grow are not tested. The transport is the one that open returned.
func AddPartitions(f func(ctx context.Context, tr transport.Transport, topic string, total int32) error) Option {
	return func(s *suite) { s.addPartitions = f }
}

// DeleteRecords says how the records before an offset are removed. Without it
// retention is not tested.
func DeleteRecords(f func(ctx context.Context, tr transport.Transport, p transport.Partition, before int64) error) Option {
	return func(s *suite) { s.deleteRecords = f }
}

// DeleteTopic says how a topic is deleted, and returns when it can be created
// again. Without it that is not tested.
func DeleteTopic(f func(ctx context.Context, tr transport.Transport, topic string) error) Option {
	return func(s *suite) { s.deleteTopic = f }
}

// suite is the options. It is not changed once the tests run, so parallel tests read it
// without a lock.
type suite struct {
	// lacks has the reason by "Part/Test". patience bounds each wait, and is no measure of how
	// long anything should take. A nil function and a zero limit skip the tests that need
	// them; with a nil leaks nothing is looked for.
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
