//go:build !linux

package netpoll

import (
	"net"
	"time"
)

// canPark tells whether this system can watch parked connections.
const canPark = false

// A receiver reads from a bare socket, of which there are none.
type receiver struct{ raw any }

func (*receiver) lend(net.Conn)            {}
func (*receiver) read([]byte) (int, error) { return 0, errClosed }

func bareSocket(net.Conn, time.Duration) int32 { return -1 }

func (c *Conn) try([]byte, bool) (int, error) { return 0, nil }
func (c *Conn) arm() bool                     { return false }
func (c *Conn) disarm()                       {}
func (c *Conn) withdraw()                     {}
