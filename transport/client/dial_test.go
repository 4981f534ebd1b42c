package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func infoOf(json string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, json) }
}

func TestDialRefusesWhatItCannotOpen(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:8081", "ftp://127.0.0.1/echo", "http:///echo", "http://127.0.0.1/echo#x", "http://%zz/"} {
		if c, err := Dial(within(t), url, Options{}); err == nil {
			c.Close()
			t.Errorf("%q was opened", url)
		}
	}
	_, err := Dial(within(t), "http://127.0.0.1/echo", Options{Transports: []string{"websocket", "jsonp-polling"}})
	if err == nil || !strings.Contains(err.Error(), `no transport "jsonp-polling"`) {
		t.Errorf("error %v", err)
	}
}

func TestInfoThatRefusesEndsTheDial(t *testing.T) {
	for _, code := range []int{http.StatusServiceUnavailable, http.StatusForbidden, http.StatusNoContent} {
		_, err := Dial(within(t), serve(t, script{"info": status(code)}), Options{})
		wantClose(t, err, code, "Cannot connect to server")
	}
}

func TestServerThatIsNotThereEndsTheDial(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	_, err := Dial(within(t), s.URL, Options{})
	wantClose(t, err, 1002, "Cannot connect to server")
	_, err = Dial(within(t), s.URL, only("xhr-streaming"))
	wantClose(t, err, 2000, "All transports failed")
	if strings.Contains(err.Error(), "xhr_streaming") {
		t.Errorf("the error tells the session's URL: %v", err)
	}
}

// tried notes which transports are asked for, by the last part of their URL.
func tried(s script) (http.Handler, func() string) {
	var mu sync.Mutex
	var parts []string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		parts = append(parts, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		mu.Unlock()
		s.ServeHTTP(w, r)
	})
	return h, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(parts, " ")
	}
}

func TestTransportsAreTriedInTurn(t *testing.T) {
	tests := []struct {
		name, info string
		transports []string
		want       string
	}{
		{"default", `{"websocket":true}`, nil, "info websocket xhr_streaming eventsource xhr"},
		{"no websocket", `{"websocket":false}`, nil, "info xhr_streaming eventsource xhr"},
		{"nothing known", `[]`, nil, "info websocket xhr_streaming eventsource xhr"},
		{"not JSON", `<html>`, nil, "info websocket xhr_streaming eventsource xhr"},
		{"in the order that was asked for", `{}`, []string{"xhr-polling", "raw-websocket", "eventsource"}, "info xhr websocket eventsource"},
		{"nothing left", `{"websocket":false}`, []string{"websocket"}, "info"},
		{"raw alone", ``, []string{"raw-websocket"}, "websocket"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, got := tried(script{"info": infoOf(tt.info)})
			_, err := Dial(within(t), serve(t, h), Options{Transports: tt.transports})
			wantClose(t, err, 2000, "All transports failed")
			if got() != tt.want {
				t.Errorf("tried %q; want %q", got(), tt.want)
			}
		})
	}
}

func TestSkipInfoTriesTheFirstTransportOnly(t *testing.T) {
	h, got := tried(script{"info": infoOf(`{}`)})
	_, err := Dial(within(t), serve(t, h), Options{SkipInfo: true})
	wantClose(t, err, 2000, "All transports failed")
	if got() != "websocket" {
		t.Errorf("tried %q", got())
	}
}

func TestEachTryHasASessionOfItsOwn(t *testing.T) {
	paths := make(chan string, 4)
	fail := func(w http.ResponseWriter, r *http.Request) {
		paths <- r.URL.Path
		http.NotFound(w, r)
	}
	Dial(within(t), serve(t, script{
		"info": infoOf(`{}`), "websocket": fail, "xhr_streaming": fail, "eventsource": fail, "xhr": fail,
	}), Options{})
	seen := map[string]bool{}
	for range 4 {
		seen[strings.Split(<-paths, "/")[2]] = true
	}
	if len(seen) != 4 {
		t.Errorf("session ids %v", seen)
	}
}

// A transport that hangs is left after a time that follows from /info.
func TestSilentTransportIsLeftForTheNext(t *testing.T) {
	silent := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	base := serve(t, script{"info": infoOf(`{}`), "websocket": silent, "xhr_streaming": silent, "xhr": answers("o\n")})
	start := time.Now()
	c := dial(t, base, Options{Transports: []string{"websocket", "xhr-streaming", "xhr-polling"}})
	if c.Transport() != "xhr-polling" {
		t.Errorf("transport %q", c.Transport())
	}
	if d := time.Since(start); d < 2*600*time.Millisecond {
		t.Errorf("two transports given up after %v", d)
	}
}

func TestTimeForATransportFollowsFromInfo(t *testing.T) {
	for rtt, want := range map[time.Duration]time.Duration{
		0: 300 * time.Millisecond, 100 * time.Millisecond: 400 * time.Millisecond, 200 * time.Millisecond: 800 * time.Millisecond,
	} {
		if got := retransmission(rtt); got != want {
			t.Errorf("%v for a round trip of %v; want %v", got, rtt, want)
		}
	}
}

// An answer of the server itself, unlike a failure, is not asked for again.
func TestRefusalIsFinal(t *testing.T) {
	tests := map[string]struct {
		websocket func(ws *websocket.Conn)
		code      int
		reason    string
	}{
		"close frame": {func(ws *websocket.Conn) {
			ws.WriteMessage(websocket.TextMessage, []byte(`c[1013,"full"]`))
			readClose(ws)
		}, 1013, "full"},
		"application's code": {func(ws *websocket.Conn) {
			ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "no"), time.Time{})
			readClose(ws)
		}, 4000, "no"},
		"another code": {func(ws *websocket.Conn) {
			ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1011, "oops"), time.Time{})
			readClose(ws)
		}, 2000, "All transports failed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := webSocket(t, tt.websocket)
			s["info"] = infoOf(`{}`)
			_, err := Dial(within(t), serve(t, s), Options{OpenTimeout: 2 * time.Minute})
			wantClose(t, err, tt.code, tt.reason)
		})
	}
}

func TestBaseURLIsHonoured(t *testing.T) {
	node := serve(t, script{"xhr": func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/node/echo/") || r.URL.RawQuery != "key=1" {
			t.Errorf("poll of %s", r.URL)
		}
		answers("o\n")(w, r)
	}})
	base := serve(t, script{"info": infoOf(`{"base_url":"` + node + `/node/echo?key=1"}`)})
	dial(t, base+"/echo", Options{Transports: []string{"xhr-polling"}, OpenTimeout: 2 * time.Minute})
}

func TestBaseURLMayBeRelative(t *testing.T) {
	base := serve(t, script{"info": infoOf(`{"base_url":"/node/echo"}`), "xhr": func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/node/echo/") {
			t.Errorf("poll of %s", r.URL)
		}
		answers("o\n")(w, r)
	}})
	dial(t, base+"/echo", Options{Transports: []string{"xhr-polling"}, OpenTimeout: 2 * time.Minute})
}

func TestBaseURLThatCannotBeUsedEndsTheDial(t *testing.T) {
	for _, baseURL := range []string{"ftp://127.0.0.1/", "http://%zz/", "http:///x"} {
		_, err := Dial(within(t), serve(t, script{"info": infoOf(`{"base_url":"` + baseURL + `"}`)}), Options{})
		wantClose(t, err, 1002, "Cannot connect to server")
	}
	s := httptest.NewTLSServer(script{"info": infoOf(`{"base_url":"http://127.0.0.1/"}`)})
	defer s.Close()
	_, err := Dial(within(t), s.URL, Options{HTTPClient: s.Client()})
	wantClose(t, err, 1002, "Cannot connect to server")
}

func TestHeaderIsSentWithEveryRequest(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	check := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			if r.Header.Get("Origin") != "https://example.com" || user != "me" || password != "secret" {
				t.Errorf("%s: header %v", r.URL, r.Header)
			}
			if c := r.Header["Cookie"]; !strings.HasSuffix(r.URL.Path, "/info") && fmt.Sprint(c) != "[JSESSIONID=1]" {
				t.Errorf("%s: cookies %v", r.URL, c)
			}
			next(w, r)
		}
	}
	bodies := make(chan string, 1)
	base := serve(t, script{
		"info": check(func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "JSESSIONID", Value: "1", Path: "/"})
		}),
		"websocket": check(status(http.StatusForbidden)),
		"xhr":       check(answers("o\n", "a[\"x\"]\n")),
		"xhr_send":  check(collect(bodies)),
	})
	header := http.Header{"Origin": {"https://example.com"}}
	c := dial(t, strings.Replace(base, "http://", "ws://me:secret@", 1), Options{
		Transports:  []string{"websocket", "xhr-polling"},
		Header:      header,
		HTTPClient:  &http.Client{Jar: jar, Transport: sharedClient().Transport},
		OpenTimeout: 2 * time.Minute,
	})
	header.Set("Origin", "changed")
	wantMessage(t, c, "x")
	send(t, c, "x")
	<-bodies
}

func TestHostOfTheHeaderIsAskedFor(t *testing.T) {
	check := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "example.org" {
				t.Errorf("%s: host %s", r.URL, r.Host)
			}
			next(w, r)
		}
	}
	base := serve(t, script{
		"info": check(infoOf(`{}`)), "websocket": check(status(http.StatusForbidden)), "xhr": check(answers("o\n")),
	})
	dial(t, base, Options{
		Transports:  []string{"websocket", "xhr-polling"},
		Header:      http.Header{"Host": {"example.org"}},
		OpenTimeout: 2 * time.Minute,
	})
}

func TestTransportsGoThroughTLS(t *testing.T) {
	codes := make(chan int, 1)
	s := webSocket(t, frames(codes, "o", `a["x"]`))
	s["xhr_streaming"] = answers(prelude + "o\na[\"x\"]\n")
	server := httptest.NewUnstartedServer(s)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for _, name := range []string{"xhr-streaming", "websocket"} {
		o := only(name)
		o.HTTPClient = server.Client()
		c, err := Dial(within(t), server.URL, o)
		if err != nil {
			t.Fatal(err)
		}
		wantMessage(t, c, "x")
		c.Close()
	}
}

func TestDialStopsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 4)
	silent := func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}
	base := serve(t, script{"info": silent, "websocket": silent, "xhr_streaming": silent, "xhr": silent})
	for name, o := range map[string]Options{
		"info": {}, "websocket": only("websocket"), "xhr-streaming": only("xhr-streaming"), "xhr-polling": only("xhr-polling"),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			failed := make(chan error)
			go func() {
				_, err := Dial(ctx, base, o)
				failed <- err
			}()
			<-asked
			cancel()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
	}
}
