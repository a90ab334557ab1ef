// Package bedclient makes the clients of a test on a bed, for packages above
// cluster. The tests of cluster itself make their own, since bedclient imports
// cluster.
//
//	client.go  Options, the client that a test shares, and CloseAfter
package bedclient
