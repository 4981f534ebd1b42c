package netpoll

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// A connection that lingers, and that epoll watches still, may be taken again
// after http.Server has had it: its peer's end is told.
func TestWatchAfterHTTPServerHadTheConnection(t *testing.T) {
	const get = "GET /get HTTP/1.1\r\nHost: x\r\n\r\n"
	p, w := New(time.Second), &watcher{make(chan struct{})}
	defer shutdown(t, p)
	served, goOn := make(chan struct{}), make(chan struct{})
	h := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			close(served)
			<-goOn
		}
		c, err := p.Hijack(rw, r)
		if err != nil {
			t.Error(err)
			return
		}
		if r.Method == http.MethodGet {
			c.Own(w)
			c.Watch()
			return
		}
		c.Own(owned{})
		c.Watch()
		c.Finish([]byte("HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\n\r\n"))
	})})
	c := h.dialBack(t)
	for range 3 { // which makes it busy
		c.ask(t, poll)
	}
	parked.mu.Lock() // so that the request's event comes late
	io.WriteString(c.Conn, get)
	<-served
	parked.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	close(goOn)
	c.Close()
	<-w.gone
}
