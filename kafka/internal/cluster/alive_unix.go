//go:build unix

package cluster

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"
)

// alive reports whether an idle connection is still open, without waiting and without
// consuming data. A broker that has stopped has closed it, and a request written to it then
// would be lost. If it can't be determined, alive returns true.
func alive(conn net.Conn) bool {
	secure, encrypted := conn.(*tls.Conn)
	if encrypted {
		conn = secure.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	open := true
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case n > 0:
			// TLS may have sent a session ticket; an alert announces the end.
			open = encrypted && b[0] != alertRecord
		case err == nil:
			open = false // the end
		default:
			open = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
		}
	})
	return open && err == nil
}

// alertRecord is the type of a TLS alert record (RFC 8446, section 5.1).
const alertRecord = 21
