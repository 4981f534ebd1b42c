package netpoll

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/nettest"
	"golang.org/x/sys/unix"
)

// A connection knows its addresses, and has what it inherits.
func TestAcceptedConnections(t *testing.T) {
	at, ips := []string{"127.0.0.1:0", ":0"}, []string{"127.0.0.1"}
	if nettest.SupportsIPv6() {
		at, ips = append(at, "[::1]:0"), append(ips, "::1")
	}
	for _, at := range at {
		l, err := Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for _, ip := range ips {
			client, err := net.Dial("tcp", net.JoinHostPort(ip, port))
			if err != nil {
				if at == ":0" {
					t.Error(err)
				}
				continue
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			if server.RemoteAddr().String() != client.LocalAddr().String() || server.LocalAddr().String() != client.RemoteAddr().String() {
				t.Errorf("%v to %v, but the client %v to %v", server.RemoteAddr(), server.LocalAddr(), client.LocalAddr(), client.RemoteAddr())
			}
			for _, o := range inherited {
				if got, err := unix.GetsockoptInt(server.(*tcp).fd, o.level, o.name); got != o.value {
					t.Errorf("option %d: got %d, %v, want %d", o.name, got, err, o.value)
				}
			}
		}
	}
	if _, err := Listen("nowhere"); err == nil {
		t.Error("it listens nowhere")
	}
}

// To who does not know what it is, an accepted connection is a net.Conn.
func TestAcceptedConnectionsAreConns(t *testing.T) {
	nettest.TestConn(t, func() (server, client net.Conn, stop func(), err error) {
		l, err := Listen("127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		defer l.Close()
		if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
			return nil, nil, nil, err
		}
		server, err = l.Accept()
		return server, client, func() { server.Close(); client.Close() }, err
	})
}

// A socket's address is told as net does, and its connection is a part of it.
func TestAcceptedConnectionIsOneObject(t *testing.T) {
	for _, remote := range []string{"192.0.2.1:80", "[2001:db8::1]:8080", "[fe80::1%eth0]:1"} {
		c := &tcp{fd: -1, remote: netip.MustParseAddrPort(remote)}
		if got, want := newConn(c).Peer(), c.RemoteAddr().String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { newConn(&tcp{fd: -1}) }); n != 1 {
		t.Errorf("%v objects", n)
	}
}
