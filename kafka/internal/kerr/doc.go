// Package kerr has the errors of Kafka's protocol and what they imply.
//
//	errors.go   Error: a code, its name, its transport error, and whether to retry
//	connect.go  ConnectError: a connection that could not be established
//	faults.go   Faults: everything that is wrong with a configuration
//
// Of this module it imports only package transport.
package kerr
