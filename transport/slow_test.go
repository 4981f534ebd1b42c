package transport

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
)

// A flood sends 256 MiB to each of its sessions, as fast as it can, once the
// first message comes.
type flood struct {
	session.Nop
	sent  atomic.Int64
	ended chan error
}

func (f *flood) OnMessage(s session.Session, _ []byte) error {
	text := bytes.Repeat([]byte{'x'}, 64<<10)
	go func() {
		for range 4096 {
			s.Send(text)
			f.sent.Add(1)
		}
	}()
	return nil
}

func (f *flood) OnClose(_ session.Session, err error) { f.ended <- err }

// A client that reads nothing costs its queue and nothing else, on each
// transport. Who waited for a write to it would wait for an hour.
func TestSlowReaderHarmsNoOne(t *testing.T) {
	for _, w := range wires1() {
		for name, request := range map[string]string{
			"websocket":     "GET /echo/0/%s/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
			"raw-websocket": "GET /echo/websocket?%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
			"xhr-streaming": "POST /echo/0/%s/xhr_streaming HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
			"xhr-polling":   "POST /echo/0/%[1]s/xhr HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nPOST /echo/0/%[1]s/xhr HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
			"eventsource":   "GET /echo/0/%s/eventsource HTTP/1.1\r\nHost: x\r\n\r\n",
			"htmlfile":      "GET /echo/0/%s/htmlfile?c=f HTTP/1.1\r\nHost: x\r\n\r\n",
			"jsonp-polling": "GET /echo/0/%[1]s/jsonp?c=f HTTP/1.1\r\nHost: x\r\n\r\nGET /echo/0/%[1]s/jsonp?c=f HTTP/1.1\r\nHost: x\r\n\r\n",
		} {
			t.Run(string(w)+"/"+name, func(t *testing.T) {
				f := &flood{ended: make(chan error, 1)}
				s := w.serve(t, session.Shared(f), Options{WriteTimeout: time.Hour, AllowedOrigins: []string{"*"}})
				others := serve(t, session.Shared(handler.Echo{}), Options{})
				other := others.dial(t, "/0/0/websocket")
				read(t, other, "o")

				id := newID()
				c := s.deafClient(t, fmt.Sprintf(request, id))
				eventually(t, "open", func() bool { return s.Stats().Sessions.Load() == 1 })
				before := heap()
				if strings.HasSuffix(name, "websocket") {
					c.Write(clientFrame(`["go"]`))
				} else {
					s.ask(t, "POST", "/0/"+id+"/xhr_send", `["go"]`).want(t, 204, "")
				}
				s.wantSlow(t, f, other, before, 8<<20)
			})
		}
	}
}

// One connection carries all streams of an HTTP/2 client.
func TestSlowReaderOverHTTP2(t *testing.T) {
	f := &flood{ended: make(chan error, 1)}
	s := http2.serve(t, session.Shared(f), Options{WriteTimeout: time.Hour})
	others := http2.serve(t, session.Shared(handler.Echo{}), Options{})
	other := others.dial(t, "/0/0/websocket")
	read(t, other, "o")
	id := newID()
	res, err := s.client.Post(s.url+"/0/"+id+"/xhr_streaming", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() // unread
	eventually(t, "open", func() bool { return s.Stats().Sessions.Load() == 1 })
	before := heap()
	s.ask(t, "POST", "/0/"+id+"/xhr_send", `["go"]`).want(t, 204, "")
	s.wantSlow(t, f, other, before, 16<<20) // its client, in the same process, keeps 4 MiB
}

// A client that takes nothing is given up in time where a middleware wraps the
// ResponseWriter, too.
func TestWriteTimeoutBehindAMiddleware(t *testing.T) {
	for _, w := range []wire{bare, fromStart, parkedTLS} {
		t.Run(string(w), func(t *testing.T) {
			t.Parallel()
			returned := make(chan time.Duration, 1)
			o := Options{WriteTimeout: 500 * time.Millisecond, QueueLimit: 64 << 20, ResponseLimit: 1 << 30, DisconnectDelay: 100 * time.Millisecond}
			s := w.serveBehind(t, session.Shared(&flood{ended: make(chan error, 1)}), o, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					begun := time.Now()
					next.ServeHTTP(struct {
						http.ResponseWriter
						http.Flusher
						unwrapper
					}{w, w.(http.Flusher), unwrapper{w}}, r)
					if strings.HasSuffix(r.URL.Path, "xhr_streaming") {
						returned <- time.Since(begun)
					}
				})
			})
			id := newID()
			s.deafClient(t, "POST /echo/0/"+id+"/xhr_streaming HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
			eventually(t, "open", func() bool { return s.Stats().Sessions.Load() == 1 })
			s.ask(t, "POST", "/0/"+id+"/xhr_send", `["go"]`).want(t, 204, "")
			select {
			case took := <-returned:
				if took < o.WriteTimeout {
					t.Errorf("given up after %v", took)
				}
			case <-time.After(patience):
				t.Error("not given up")
			}
		})
	}
}

type unwrapper struct{ w http.ResponseWriter }

func (u unwrapper) Unwrap() http.ResponseWriter { return u.w }

// wantSlow demands that the flood ends its session, and costs no more than the
// session's queue: at most so many bytes of the process.
func (s *site) wantSlow(t *testing.T, f *flood, other *websocket.Conn, before, atMost uint64) {
	t.Helper()
	most := watch(t, f, other, before)
	if most > atMost {
		t.Errorf("process grew by %d KiB", most>>10)
	}
	if s.Stats().Slow.Load() != 1 || s.Stats().Memory.Load() > 1<<20 {
		t.Errorf("stats: %+v", s.Stats())
	}
}

// watch echoes with another client until the flood has ended, and returns by
// how much the heap grew at most.
func watch(t *testing.T, f *flood, other *websocket.Conn, before uint64) (most uint64) {
	t.Helper()
	closed := false
	for !closed || f.sent.Load() < 4096 {
		other.WriteMessage(websocket.TextMessage, []byte(`["ping"]`))
		read(t, other, `a["ping"]`)
		if now := heap(); now > before {
			most = max(most, now-before)
		}
		select {
		case err := <-f.ended:
			closed = true
			if end := err.(*session.CloseError); end.Code != 1013 {
				t.Errorf("closed with %v", err)
			}
		default:
		}
	}
	return most
}

// heap is what the process uses, without what it has let go of: the less of two
// readings, since what is let go of while the collector works counts as used.
func heap() uint64 {
	used := uint64(math.MaxUint64)
	for range 2 {
		runtime.GC()
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		used = min(used, live[0].Value.Uint64())
	}
	return used
}

// deafClient sends a request, and reads nothing.
func (s *site) deafClient(t *testing.T, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.(*net.TCPConn).SetReadBuffer(4 << 10)
	if config := s.client.Transport.(*http.Transport).TLSClientConfig; config != nil {
		c = tls.Client(c, config)
	}
	if _, err := c.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	return c
}

// clientFrame is a short text frame as clients send it, masked with zeros.
func clientFrame(text string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
}
