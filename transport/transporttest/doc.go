// Package transporttest is what every transport must do, as a suite of tests: the
// contracts of package transport, one by one, through its interfaces alone.
//
//	func TestConformance(t *testing.T) {
//		transporttest.Run(t, func(t *testing.T) transport.Transport {
//			return memory.New()
//		})
//	}
//
// The suite names its topics and groups after the test and a random number, so that
// it can share a cluster with others and with itself. It waits for signals, with
// deadlines that suit a real cluster, and asserts no durations.
//
// Files: suite.go lists the tests and option.go the options; run.go holds one test on one
// transport. A file named after what is tested (produce.go, read.go, group.go …) holds tests; one
// named after who does it (producer.go, reader.go, member.go with listener.go) holds
// the fixture that these use, which checks each promise of its interface on the way.
package transporttest
