// Package check tests a handler under faults and reports what broke.
//
// A trial publishes keyed events on a cluster in memory and handles them with
// several members of a group. Meanwhile it crashes members, rebalances, loses the
// broker, duplicates events, and makes handling fail, hang or panic. Then it compares
// what happened with the promises of the bus: no event is lost, none is handled twice
// unless a crash may repeat it, events of one key are handled in order and one at a
// time, and none is stuck. A finding includes the history of its key.
//
//	func TestWelcome(t *testing.T) {
//		check.Run(t, check.Plan[sales.CustomerCreated]{
//			Topic:   sales.CustomerCreatedTopic,
//			Event:   func(key, n int) sales.CustomerCreated { … },
//			Handler: mailer.Welcome,
//		})
//	}
//
// Attempts also end in the ways that a handler may end by mistake: with the error of
// what it published, with a nil pointer as its error, by exiting its goroutine, or
// with an event that it published without waiting and that was refused. None of these
// is success. [Deployment] begins in the middle of a rolling deployment.
//
// A trial checks the bus as much as the handler. Plan.Effects shows what only a
// handler can get wrong: an event that a crash repeats must take effect once.
//
// A trial runs in a testing/synctest bubble, where minutes take milliseconds: the
// handler must not wait for anything outside the bubble, such as a network. The seed,
// which the report prints, decides what is done and when. Which of two goroutines runs
// first at the same instant may still vary between runs.
package check
