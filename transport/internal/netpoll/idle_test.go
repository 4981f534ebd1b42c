package netpoll

import (
	"io"
	"net"
	"testing"
	"time"
)

// Connections that rest too long are closed, and nobody is told; the others' Owners are
// called when bytes come.
func TestConnectionsRest(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	each(t, func(t *testing.T, p *Group, take func(Owner) (*Conn, net.Conn)) {
		short, long := NewIdleLine(p, time.Millisecond), NewIdleLine(p, 0)
		var told counter
		late, lateClient := take(&told)
		late.Rest(short, &told)
		if _, err := lateClient.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("late: got %v", err)
		}
		e := newEcho()
		c, client := take(nil)
		e.conn = c
		c.Rest(long, e)
		echoed(t, client, "hello")
		c.Rest(long, &told)
		long.Close()
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("line that is closed: got %v", err)
		}
		other, otherClient := take(nil)
		other.Rest(long, &told)
		if _, err := otherClient.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("line that was closed: got %v", err)
		}
		if n := told.gone.Load(); n > 0 {
			t.Errorf("%d were told", n)
		}
		short.Close()
	})
}

// onPause is an Owner that is in Ready while its line closes.
type onPause struct{ entered, goOn chan *Conn }

func (o onPause) Ready(b *Buffer) {
	o.entered <- b.Conn()
	c := <-o.goOn
	b.Discard(b.Buffered())
	c.RestOn()
}

func (onPause) Flushed() {}

// A connection whose line has closed meanwhile rests no more.
func TestRestOnInAClosedLine(t *testing.T) {
	each(t, func(t *testing.T, p *Group, take func(Owner) (*Conn, net.Conn)) {
		l, o := NewIdleLine(p, 0), onPause{make(chan *Conn), make(chan *Conn)}
		c, client := take(nil)
		c.Rest(l, o)
		io.WriteString(client, "\n")
		if got := <-o.entered; got != c {
			t.Fatal("another connection")
		}
		l.Close()
		o.goOn <- c
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("got %v", err)
		}
	})
}

// A Group that is down takes no connection.
func TestTakeAfterShutdown(t *testing.T) {
	var g Group
	shutdown(t, &g)
	server, client := pair(t)
	if _, err := g.Take(server, nil).Write([]byte("x")); err == nil {
		t.Error("it is written to")
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if g.Len() != 0 {
		t.Errorf("%d connections", g.Len())
	}
}

// WriteThen calls its function once all is written, however long that takes, and not
// where the connection fails before.
func TestWriteThen(t *testing.T) {
	eachWithin(t, 20*time.Second, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		for _, size := range []int{3, 8 << 20} {
			var w counter
			c, client := take(&w)
			c.Watch(&w)
			called := make(chan struct{}, 2)
			go c.WriteThen(pieces(make([]byte, size)), func(*Conn) { called <- struct{}{} })
			if _, err := io.ReadFull(client, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			<-called
			client.Close()
			c.Watch(&w) // it is nobody's
			time.Sleep(10 * time.Millisecond)
			if n := w.gone.Load(); n > 0 || len(called) > 0 {
				t.Errorf("%d bytes: told %d times, called %d times more", size, n, len(called))
			}
			c.Close()
		}
		c, client := take(&counter{})
		c.WriteThen(pieces(make([]byte, 8<<20)), func(*Conn) { t.Error("called for a connection that has failed") })
		client.Close()
		c.Close()
	})
}

// A connection is of the Group that has it now: another's Shutdown leaves it alone.
func TestConnectionsChangeTheirGroup(t *testing.T) {
	each(t, func(t *testing.T, p *Group, take func(Owner) (*Conn, net.Conn)) {
		var other, down Group
		down.Shutdown(t.Context())
		e := newEcho()
		c, client := take(e)
		e.conn = c
		if err := c.Claim(&down); err != ErrDown {
			t.Errorf("a Group that is down: %v", err)
		}
		if err := c.Claim(&other); err != nil || p.Len() != 0 || other.Len() != 1 {
			t.Errorf("%v, %d and %d connections", err, p.Len(), other.Len())
		}
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		c.Arm()
		echoed(t, client, "hello")
		shutdown(t, &other)
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("got %v", err)
		}
	})
}
