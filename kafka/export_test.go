package kafka

import (
	"context"
	"net"

	"github.com/eventbus-go/eventbus/transport"
)

// DialOf is how a Transport makes network connections.
func DialOf(tr transport.Transport) func(context.Context, string, string) (net.Conn, error) {
	return tr.(*Transport).client.cfg.Dial
}
