// Package kerr has the errors of Kafka's protocol and what follows from them.
//
//	errors.go   Error: a code, its name, which transport error it is, whether trying again helps
//	connect.go  ConnectError: a connection that could not be made
//	faults.go   Faults: everything that is wrong with a configuration
//
// It imports only the transport package of ours.
package kerr
