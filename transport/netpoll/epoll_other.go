//go:build !linux

package netpoll

import (
	"net"
	"time"
)

// canPark tells whether this system can watch parked connections.
const canPark = false

func bareSocket(net.Conn, time.Duration) int32 { return -1 }

func (c *Conn) try([]byte) (int, error) { return 0, nil }
func (c *Conn) arm() bool               { return false }
func (c *Conn) disarm()                 {}
