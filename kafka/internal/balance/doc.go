// Package balance assigns partitions to the members of a group, as a group's leader does
// in the classic protocol.
//
//	balancer.go  the balancers by name, and the formats of subscriptions and assignments
//	sticky.go    the cooperative-sticky plan: even, with as few moves as possible
//	types.go     the types that members handle, in the user data of both
//
// It is pure computation on names and numbers, without connections or clocks.
package balance
