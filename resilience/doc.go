// Package resilience decides: whether to try again and when (Retry), and
// whether to try at all (Breaker). It only decides. Waiting, parking and
// counting are its caller's, so no goroutine ever sleeps in a backoff, and it
// knows nothing of events, topics or brokers.
package resilience
