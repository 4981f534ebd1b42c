//go:build !linux

package netpoll

import (
	"net"

	"switchback/session/memory"
)

// An epollSet is what other systems do not have.
type epollSet struct{}

// CanPark tells whether this system can watch parked connections.
const CanPark = false

func isBare(net.Conn) bool { return false }

func bareSocket(net.Conn) int32 { return -1 }

func (c *Conn) push(*memory.Pieces, bool) (int, error) { return 0, nil }
func (c *Conn) recv([]byte) (int, error)               { return 0, errNothing }
func (c *Conn) enlist() bool                           { return false }
func (c *Conn) delist()                                {}
func (c *Conn) withdraw()                              {}
func (c *Conn) setUserTimeout(int32)                   {}

func (c *Conn) unacknowledged() int { return 0 }
func (c *Conn) taken() uint64       { return 0 }

func (c *Conn) vanishedAfter() int32 { return 0 }

// A Listener is of connections that can be parked, of which there are none.
type Listener struct{ net.Listener }

type tcp struct {
	net.Conn
	conn Conn
}

// Listen listens at addr, a host and a port.
func Listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
