package resilience_test

import (
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// A policy says how long to wait after each failure, and when to give up. Waits are
// drawn at random between half their bound and the bound.
func ExampleRetry_Next() {
	policy := resilience.Retry{Attempts: 3, Initial: time.Second}
	for attempt := 1; ; attempt++ {
		wait, again := policy.Next(attempt, 0)
		if !again {
			fmt.Println("given up after attempt", attempt)
			return
		}
		bound := time.Second << (attempt - 1)
		fmt.Println(bound/2 <= wait && wait <= bound, "at most", bound)
	}
	// Output:
	// true at most 1s
	// true at most 2s
	// given up after attempt 3
}

// A breaker opens when attempts of many keys fail and none succeeds, and refuses all
// until it is time for a probe.
func ExampleBreaker() {
	changes := make(chan string, 1)
	breaker := resilience.NewBreaker("mail", resilience.BreakerConfig{
		MinKeys: 3, MinAttempts: 3, After: -1, // opens as soon as three keys have failed
		OnChange: func(from, to resilience.State) { changes <- fmt.Sprint(from, " → ", to) },
	})
	for key := range uint64(3) {
		if ticket, ok := breaker.Allow(key); ok {
			ticket.Done(resilience.Failure)
		}
	}
	fmt.Println(<-changes)
	_, ok := breaker.Allow(4)
	fmt.Println("let through:", ok)
	// Output:
	// closed → open
	// let through: false
}
