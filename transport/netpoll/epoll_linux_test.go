package netpoll

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// What epoll watches nobody reads, or its event would come late and be taken for
// the next one: a busy connection does not linger after a watch.
func TestWatchedConnectionsDoNotLinger(t *testing.T) {
	p, conns := New(time.Second), make(chan *Conn, 1)
	defer shutdown(t, p)
	h := serveHTTP(t, &http.Server{Handler: &taker{t, p, func(c *Conn) { conns <- c }}})
	c, busy := h.dialBack(t), 0
	for range 10 {
		c.ask(t, poll)
		k := <-conns
		eventually(t, "it is parked", func() bool { return !works(k) })
		k.mu.Lock()
		if k.armed == 0 {
			t.Error("it is not watched")
		}
		if k.busy {
			busy++
		}
		k.mu.Unlock()
	}
	if busy == 0 {
		t.Error("it was never busy")
	}
}

// A connection that goes to http.Server while epoll watches it, for a request that
// came early, may be taken again: it is told of no event of before.
func TestWatchIsTakenOffForHTTPServer(t *testing.T) {
	const hold, get = "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n", "GET /get HTTP/1.1\r\nHost: x\r\n\r\n"
	p, e := New(time.Second), newEcho()
	defer shutdown(t, p)
	held, goOn, armed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	first := &taker{t, p, func(*Conn) {}}
	h := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hold":
			close(held)
			<-goOn
		case "/get":
			var err error
			if e.conn, err = p.Hijack(w, r); err != nil {
				t.Error(err)
			}
			e.conn.Own(e)
			e.conn.Arm()
			close(armed)
		default:
			first.ServeHTTP(w, r)
		}
	})})
	c := h.dial(t)
	io.WriteString(c.Conn, poll+hold)
	c.answer(t)
	<-held
	parked.mu.Lock() // so that an event of the next request comes late
	io.WriteString(c.Conn, get)
	time.Sleep(20 * time.Millisecond)
	close(goOn)
	c.answer(t)
	time.Sleep(20 * time.Millisecond)
	parked.mu.Unlock()
	<-armed
	time.Sleep(20 * time.Millisecond)
	if works(e.conn) || e.reads.Load() > 0 {
		t.Error("an event of before is told")
	}
	echoed(t, c.Conn, "x")
}
