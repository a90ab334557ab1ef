// Package check tries a handler under faults, and tells what broke.
//
// A trial publishes keyed events on a cluster in memory, runs some members of a
// group that handle them, and meanwhile crashes members, rebalances, loses the
// broker, doubles events, and makes handling fail, hang or panic. At the end it
// holds what happened against the promises of the bus: no event lost, none
// handled twice but those that a crash may repeat, those of one key in order and
// one at a time, none stuck. A finding comes with the history of its key.
//
//	func TestWelcome(t *testing.T) {
//		check.Run(t, check.Plan[sales.CustomerCreated]{
//			Topic:   sales.CustomerCreatedTopic,
//			Event:   func(key, n int) sales.CustomerCreated { … },
//			Handler: mailer.Welcome,
//		})
//	}
//
// Attempts also end in the ways that a handler may slip into: with the error of what
// it published, with a nil pointer as its error, by ending its goroutine, with an
// event that it published without waiting and that was refused. None of these is
// success. [Deployment] begins in the middle of a rolling deployment.
//
// The bus is checked by that as much as the handler. What a handler alone can
// break shows in Plan.Effects: an event that a crash repeats must take effect once.
//
// A trial runs in a testing/synctest bubble, where minutes pass in milliseconds:
// the handler must not wait for anything outside of it, such as a network. Its
// seed says what is done when, and the report prints it; which of two goroutines
// comes first at one moment may still differ from run to run.
package check
