// Package bedclient makes the clients of a test on a bed, for the rooms above
// cluster. Cluster's own tests, which bedclient builds on, have theirs.
//
//	client.go  Options, the client that a test shares, and what is closed with the test
package bedclient
