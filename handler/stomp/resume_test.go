package stomp_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/history/memory"
	"switchback/handler/stomp"
	"switchback/handler/stomp/frame"
	"switchback/transport/client"
)

// A line is the network of a client, which can be cut.
type line struct {
	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, c)
		l.mu.Unlock()
	}
	return c, err
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
}

// dialOver is dial over a line of its own.
func dialOver(t *testing.T, url, transport string) (*peer, *line) {
	t.Helper()
	l := &line{}
	h := &http.Client{Transport: &http.Transport{DialContext: l.dial}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, url, client.Options{Transports: []string{transport}, HTTPClient: h, OpenTimeout: 10 * time.Second, CloseTimeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); l.cut() })
	p := &peer{T: t, conn: c}
	p.decoder.Limits, p.decoder.Version = &clientLimits, frame.V12
	return p, l
}

// A client that is cut off ten times while messages are published gets each once, in order.
func TestClientThatIsCutOffMissesNothing(t *testing.T) {
	const messages, cuts, ahead = 1000, 10, 150
	for _, kind := range []string{"durable", "fast"} {
		for _, name := range []string{"raw-websocket", "websocket", "xhr-streaming", "xhr-polling"} {
			if testing.Short() && strings.HasPrefix(name, "xhr") {
				continue // the server waits for sessions that are cut off
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				hub, err := handler.NewHub(handler.NewMemory())
				if err != nil {
					t.Fatal(err)
				}
				l, err := history.New(memory.New(memory.Options{}), hub, history.Options{
					Policies: []history.Policy{{Topics: "/topic/**", Fast: kind == "fast"}}, Logger: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { // after the broker
					if err := l.Close(); err != nil {
						t.Error(err)
					}
				})
				b, url := serve(t, stomp.Options{Hub: hub, History: l, Logger: slog.New(slog.DiscardHandler)})

				read := make(chan struct{}, messages+ahead)
				for range ahead {
					read <- struct{}{}
				}
				var publishing sync.WaitGroup
				defer publishing.Wait()
				from := "history:0"
				for n, begun := 0, false; n < messages; {
					p, network := dialOver(t, url, name)
					p.send("CONNECT\naccept-version:1.2\n\n\x00")
					p.want(frame.Connected, "version", "1.2")
					p.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n" + from + "\nreceipt:1\n\n\x00")
					if !begun {
						p.want(frame.Receipt, "receipt-id", "1")
						begun = true
						publishing.Go(func() {
							for i := range messages {
								<-read
								if err := b.Send(context.Background(), "/topic/a", strconv.Itoa(i)); err != nil {
									t.Error(err)
								}
							}
						})
					}
					for until := min(messages, n+messages/(cuts+1)+1); n < until; {
						f := p.next()
						if f.Command == frame.Receipt {
							continue
						}
						if string(f.Body) != fmt.Sprint(n) || f.Headers.Value("gap") != "" {
							t.Fatalf("got %s %v, want %d", f.Body, f.Headers, n)
						}
						from = "since:" + f.Headers.Value("offset")
						n++
						read <- struct{}{}
					}
					network.cut()
				}
				if s := l.Stats(); s.CaughtUp.Load() == 0 || s.Gaps.Load() != 0 {
					t.Errorf("%d messages were missed, with %d gaps", s.CaughtUp.Load(), s.Gaps.Load())
				}
			})
		}
	}
}
