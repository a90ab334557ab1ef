// Package resilience decides whether and when to try again (Retry), and whether to try at all
// (Breaker). It only decides: waiting, parking and counting are up to the caller, so no
// goroutine ever sleeps in a backoff. It knows nothing about events, topics or brokers.
package resilience
