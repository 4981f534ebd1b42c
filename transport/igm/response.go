package igm

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"
)

// A response is what igm writes to. It gives every write a deadline, which igm
// does not, because igm holds a session's lock over it. It refuses writes
// after the request is over, and closes a WebSocket that igm left open.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration

	mu   sync.Mutex // guards the rest, and writing
	over bool
	conn net.Conn // of a WebSocket, after the handshake
}

func newResponse(w http.ResponseWriter, timeout time.Duration) *response {
	return &response{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
}

func (w *response) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return 0, net.ErrClosed
	}
	w.limit()
	return w.ResponseWriter.Write(p)
}

func (w *response) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.limit()
	_ = w.control.Flush() // a client that does not take it cancels the request
}

// limit sets the deadline of what is written next. net/http takes it away after
// the request. A writer that knows no deadlines has none.
func (w *response) limit() {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout))
}

// WriteHeader does nothing after a handshake: igm reports that it could not
// close a WebSocket to the WebSocket.
func (w *response) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Hijack gives the connection to a WebSocket; the response is then over.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	conn, buf, err := w.control.Hijack()
	if err == nil {
		w.conn, w.over = conn, true
	}
	return conn, buf, err
}

// finish ends the response when igm has returned.
func (w *response) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close() // for the most part igm has
	}
	if !w.over {
		w.limit() // of what net/http has yet to write
	}
	w.over = true
}
