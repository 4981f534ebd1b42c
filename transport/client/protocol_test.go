package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A carrier is how one HTTP transport carries frames.
type carrier struct {
	name, path string
	prelude    string
	wrap       func(frame string) string
	serve      func(bodies ...string) http.HandlerFunc
}

func line(frame string) string { return frame + "\n" }
func event(frame string) string {
	return "data: " + strings.ReplaceAll(frame, "%", "%25") + "\r\n\r\n"
}

var carriers = []carrier{
	{"xhr-streaming", "xhr_streaming", prelude, line, answers},
	{"xhr-polling", "xhr", "", line, answers},
	{"eventsource", "eventsource", "\r\n", event, events},
}

// body is an answer with frames.
func (c carrier) body(frames ...string) (body string) {
	for _, f := range frames {
		body += c.wrap(f)
	}
	return c.prelude + body
}

// each runs a test with a session that opens and then gets answers.
func each(t *testing.T, bodies func(c carrier) []string, test func(t *testing.T, c *Conn)) {
	for _, ca := range carriers {
		t.Run(ca.name, func(t *testing.T) {
			all := append([]string{ca.body("o")}, bodies(ca)...)
			base := serve(t, script{ca.path: ca.serve(all...)})
			test(t, dial(t, base, only(ca.name)))
		})
	}
}

func one(frames ...string) func(c carrier) []string {
	return func(c carrier) []string { return []string{c.body(frames...)} }
}

func TestEndOfAnAnswerIsFollowedByThePollOfTheNext(t *testing.T) {
	each(t, func(c carrier) []string {
		return []string{c.body(`a["1"]`), c.body("h"), c.body(`a["2","3"]`), c.body(`c[3000,"over"]`)}
	}, func(t *testing.T, c *Conn) {
		wantMessage(t, c, "1")
		wantMessage(t, c, "2")
		wantMessage(t, c, "3")
		wantEnd(t, c, 3000, "over")
	})
}

func TestPollsUseOneURL(t *testing.T) {
	urls := make(chan string, 3)
	next := answers("o\n", "h\n", "a[\"x\"]\n")
	base := serve(t, script{"xhr": func(w http.ResponseWriter, r *http.Request) {
		urls <- r.Method + " " + r.URL.Path
		next(w, r)
	}})
	c := dial(t, base+"/deep/echo/", only("xhr-polling"))
	wantMessage(t, c, "x")
	first := <-urls
	if second, third := <-urls, <-urls; first != second || first != third {
		t.Errorf("polls of %q, %q and %q", first, second, third)
	}
	parts := strings.Split(first, "/")
	if len(parts) != 6 || parts[0] != "POST " || len(parts[3]) != 3 || len(parts[4]) < 8 || strings.Contains(first, ".") {
		t.Errorf("poll of %q", first)
	}
}

// An answer with nothing in it is not asked for as fast as it can be given.
func TestEmptyAnswersAreAskedForSlowly(t *testing.T) {
	var polls atomic.Int32
	base := serve(t, script{"xhr": then(answers("o\n"), func(http.ResponseWriter, *http.Request) { polls.Add(1) })})
	c := dial(t, base, only("xhr-polling"))
	go c.Recv(within(t))
	start := time.Now()
	waitFor(t, func() bool { return polls.Load() >= 3 })
	if d := time.Since(start); d < 2*emptyPause {
		t.Errorf("3 polls in %v", d)
	}
}

func TestSecondOpenFrameEndsTheSession(t *testing.T) {
	each(t, one("o", `a["never"]`), func(t *testing.T, c *Conn) {
		wantEnd(t, c, 1006, "Server lost session")
	})
}

func TestBrokenFrameEndsTheSession(t *testing.T) {
	for _, frame := range []string{
		`a["1"`, `a`, `a{}`, `a[1]`, `a["1"]x`, `a"1"`, "a[\"\xff\"]", `c[3000]`, `c["x","y"]`, `c`, `c[1,"a","b"]`, `x`, `oo`, `<html>`,
	} {
		t.Run(frame, func(t *testing.T) {
			each(t, one(`a["before"]`, frame, `a["after"]`), func(t *testing.T, c *Conn) {
				wantMessage(t, c, "before")
				wantEnd(t, c, 1006, "Broken frame")
			})
		})
	}
}

func TestCutAnswerEndsTheSession(t *testing.T) {
	each(t, func(c carrier) []string {
		return []string{strings.TrimSpace(c.body(`a["1"]`))}
	}, func(t *testing.T, c *Conn) {
		wantEnd(t, c, 1006, "Connection lost")
	})
}

// A server that vanishes in the middle of an answer must not be taken for one
// that has ended it.
func TestBrokenConnectionEndsTheSession(t *testing.T) {
	for _, ca := range carriers {
		t.Run(ca.name, func(t *testing.T) {
			base := serve(t, script{ca.path: then(ca.serve(ca.body("o")), func(w http.ResponseWriter, r *http.Request) {
				ca.serve(ca.body(`a["1"]`))(w, r)
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})})
			c := dial(t, base, only(ca.name))
			wantMessage(t, c, "1")
			wantEnd(t, c, 1006, "Connection lost")
		})
	}
}

func TestOversizeFrameEndsTheSession(t *testing.T) {
	frame := `a["` + strings.Repeat("x", 20_000) + `"]`
	for _, ca := range carriers {
		t.Run(ca.name, func(t *testing.T) {
			base := serve(t, script{ca.path: ca.serve(ca.body("o"), ca.body(frame), ca.body(frame))})
			o := only(ca.name)
			o.FrameLimit = len(frame)
			c := dial(t, base, o)
			wantMessage(t, c, frame[3:len(frame)-2])
			o.FrameLimit--
			c = dial(t, serve(t, script{ca.path: ca.serve(ca.body("o"), ca.body(frame))}), o)
			wantEnd(t, c, 1009, "Frame too big")
		})
	}
}

func TestOtherStatusEndsTheSession(t *testing.T) {
	for _, ca := range carriers {
		for _, code := range []int{http.StatusNoContent, http.StatusNotFound, http.StatusInternalServerError, http.StatusServiceUnavailable} {
			t.Run(fmt.Sprint(ca.name, code), func(t *testing.T) {
				base := serve(t, script{ca.path: then(ca.serve(ca.body("o")), status(code))})
				wantEnd(t, dial(t, base, only(ca.name)), 1006, "Connection lost")
			})
		}
	}
}

func TestEventStreamHasItsContentType(t *testing.T) {
	base := serve(t, script{"eventsource": answers("data: o\n\n")})
	_, err := Dial(within(t), base, only("eventsource"))
	wantClose(t, err, 2000, "All transports failed")
}

// A lone surrogate has no UTF-8 form, and goes both ways as WTF-8.
func TestLoneSurrogatePassesUnchanged(t *testing.T) {
	const surrogate = "x\xed\xa0\x80y"
	bodies := make(chan string, 1)
	base := serve(t, script{
		"xhr":      answers("o\n", `a["x\ud800y","\ud83d\ude00","%41"]`+"\n"),
		"xhr_send": collect(bodies),
	})
	c := dial(t, base, only("xhr-polling"))
	wantMessage(t, c, surrogate)
	wantMessage(t, c, "😀")
	wantMessage(t, c, "%41")
	if err := c.Send([]byte(surrogate)); err != nil {
		t.Fatal(err)
	}
	if got := <-bodies; got != `["x\ud800y"]` {
		t.Errorf("sent %q", got)
	}
}

func TestMessagesBelongToTheCaller(t *testing.T) {
	each(t, func(c carrier) []string {
		return []string{c.body(`a["one","two"]`), c.body(`a["six"]`)}
	}, func(t *testing.T, c *Conn) {
		var got [3][]byte
		for i := range got {
			text, err := c.Recv(within(t))
			if err != nil {
				t.Fatal(err)
			}
			got[i] = append(text, '!')
		}
		if g := fmt.Sprintf("%s", got); g != "[one! two! six!]" {
			t.Errorf("messages %s", g)
		}
	})
}

// The prelude of a stream is no heartbeat, though the client treats it as one.
func TestHeartbeatsAreToldAsTheyCome(t *testing.T) {
	servers := map[string]script{
		"websocket": webSocket(t, frames(make(chan int, 1), "o", "h", "h", `a["x"]`)),
		"raw-websocket": webSocket(t, func(ws *websocket.Conn) {
			ws.WriteControl(websocket.PingMessage, nil, time.Time{})
			ws.WriteControl(websocket.PingMessage, nil, time.Time{})
			ws.WriteMessage(websocket.TextMessage, []byte("x"))
			readClose(ws)
		}),
	}
	for _, ca := range carriers {
		servers[ca.name] = script{ca.path: ca.serve(ca.body("o", "h"), ca.body("h", `a["x"]`))}
	}
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			heartbeats := 0
			o := only(name)
			o.Heartbeat = func() { heartbeats++ }
			c := dial(t, serve(t, server), o)
			text, err := c.Recv(context.Background())
			if err != nil || string(text) != "x" || heartbeats != 2 {
				t.Errorf("%q, %v after %d heartbeats", text, err, heartbeats)
			}
		})
	}
}
