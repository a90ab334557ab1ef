// Package transporttest is a test suite of what every transport must do. It tests the
// contracts of package transport one by one, through its interfaces alone.
//
//	func TestConformance(t *testing.T) {
//		transporttest.Run(t, func(t *testing.T) transport.Transport {
//			return memory.New()
//		})
//	}
//
// The suite names its topics and groups after the test and a random number, so that it can
// share a cluster with other tests, and with itself. It waits for signals, with deadlines
// that suit a real cluster, and asserts no durations.
//
// Files: suite.go lists the tests and option.go the options; run.go runs one test on one
// transport. A file named after what is tested (produce.go, read.go, group.go …) has tests.
// A file named after who acts (producer.go, reader.go, member.go with listener.go) has the
// fixture that these use, which also checks each promise of its interface.
package transporttest
