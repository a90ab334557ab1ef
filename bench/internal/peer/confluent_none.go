//go:build !cgo

package peer

// confluentPeers is empty, because the client needs cgo.
var confluentPeers []Peer
