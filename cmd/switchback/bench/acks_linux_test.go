package bench

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The acknowledgement of what a server writes does not arrive within its call of
// write, neither the first time nor after a pause.
func TestServerDoesNotPayForAcknowledgements(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for try := 1; !acknowledgesLate(t, l); try++ { // or the machine was busy for as long as the system waits, 40 ms
		if try == 5 {
			t.Fatal("acknowledged within the server's call")
		}
	}
}

func acknowledgesLate(t *testing.T, l net.Listener) bool {
	client, err := dialFrom(0)(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	first := owed(t, server)
	go io.ReadFull(client, make([]byte, 2))
	time.Sleep(300 * time.Millisecond) // more than the least retransmission timeout, of 200
	return first && owed(t, server)
}

// owed writes a byte and tells whether it is not acknowledged.
func owed(t *testing.T, server net.Conn) bool {
	if _, err := server.Write([]byte("h")); err != nil {
		t.Fatal(err)
	}
	raw, err := server.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil {
		t.Fatal(err)
	}
	return info.Unacked > 0
}
