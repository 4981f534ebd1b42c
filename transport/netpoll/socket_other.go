//go:build !unix

package netpoll

import "net"

// A socket is not written to directly on this system.
type socket struct{}

func bareSocket(net.Conn) *socket { return nil }

func (*socket) try([]byte) (int, error) { return 0, nil }
