//go:build !linux

package netpoll

import (
	"net"
	"time"
)

// An epollSet is what other systems do not have.
type epollSet struct{}

// canPark tells whether this system can watch parked connections.
const canPark = false

func bareSocket(net.Conn, time.Duration) int32 { return -1 }

func (c *Conn) try([]byte, bool) (int, error) { return 0, nil }
func (c *Conn) recv([]byte) (int, error)      { return 0, errNothing }
func (c *Conn) enlist() bool                  { return false }
func (c *Conn) delist()                       {}
