//go:build unix

package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
	"switchback/transport"
)

// What a scrape costs does not depend on how many sessions there are, of whatever kind: half
// of these have a stream, and half poll.
func BenchmarkScrape(b *testing.B) {
	for _, sessions := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			e, err := transport.NewEndpoint("/chat", session.Shared(handler.Echo{}), transport.Options{DisconnectDelay: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			s, err := New(Options{Endpoints: map[string]*transport.Endpoint{"/chat": e}})
			if err != nil {
				b.Fatal(err)
			}
			public := httptest.NewServer(e)
			pool := new(http.Transport)
			defer func() {
				if err := e.Shutdown(context.Background()); err != nil {
					b.Error(err)
				}
				pool.CloseIdleConnections()
				public.Close()
			}()
			for i := range sessions {
				name := []string{"xhr", "xhr_streaming"}[i%2]
				answer, err := (&http.Client{Transport: pool}).Post(fmt.Sprintf("%s/chat/0/%d/%s", public.URL, i, name), "", nil)
				if err != nil {
					b.Fatal(err)
				}
				defer answer.Body.Close()
				if name == "xhr" {
					io.Copy(io.Discard, answer.Body)
				}
			}
			if n := e.Stats().Sessions.Load(); n != int64(sessions) {
				b.Fatalf("%d sessions", n)
			}
			before := processorTime(b)
			for b.Loop() {
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/metrics", nil))
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// processorTime is what the process has had of the processors' time.
func processorTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
