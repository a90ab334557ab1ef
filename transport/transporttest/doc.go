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
// deadlines that suit a real cluster ([Patience]), and asserts no durations.
package transporttest
