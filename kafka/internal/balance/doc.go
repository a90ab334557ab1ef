// Package balance shares partitions out among the members of a group, as the
// leader of a group does in the classic protocol.
//
//	balancer.go  the balancers by name, and the formats of subscriptions and assignments
//	sticky.go    the cooperative-sticky plan: even, and moving as little as possible
//	types.go     the types that members handle, in the user data of both
//
// It is arithmetic on names and numbers: no connection, no clock.
package balance
