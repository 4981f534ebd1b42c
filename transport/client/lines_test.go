package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// A body is read whole, byte by byte, and with its end in the last read.
var bodies = map[string]func(io.Reader) io.Reader{
	"whole":    func(r io.Reader) io.Reader { return r },
	"bytewise": iotest.OneByteReader,
	"with EOF": iotest.DataErrReader,
}

func answer(contentType string, body io.Reader) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {contentType}},
		Body:       io.NopCloser(body),
	}
}

// readFrames reads an answer to its end.
func readFrames(t *testing.T, r frameReader, res *http.Response) (got []string, err error) {
	t.Helper()
	if err := r.start(res); err != nil {
		t.Fatal(err)
	}
	for {
		p, err := r.next()
		if err != nil {
			return got, err
		}
		got = append(got, string(p))
		clear(p) // a frame may be changed
	}
}

func TestFramesOfAnXHRAnswer(t *testing.T) {
	long := `a["` + strings.Repeat("x", 20_000) + `"]`
	tests := []struct {
		name, body string
		want       []string
		err        error
	}{
		{"nothing", "", nil, io.EOF},
		{"one", "o\n", []string{"o"}, io.EOF},
		{"prelude", prelude + "o\n", []string{prelude[:2048], "o"}, io.EOF},
		{"many", "a[\"1\"]\nh\na[\"2\"]\n", []string{`a["1"]`, "h", `a["2"]`}, io.EOF},
		{"empty lines", "\n\no\n\nh\n\n", []string{"o", "h"}, io.EOF},
		{"CRLF", "o\r\nh\r\n", []string{"o", "h"}, io.EOF},
		{"long", long + "\n" + long + "\nh\n", []string{long, long, "h"}, io.EOF},
		{"cut", "o\na[\"1\"", []string{"o"}, io.ErrUnexpectedEOF},
		{"no end", "o", nil, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		for how, body := range bodies {
			t.Run(tt.name+" "+how, func(t *testing.T) {
				r := &xhrReader{lineReader{limit: 1 << 20}}
				got, err := readFrames(t, r, answer("", body(strings.NewReader(tt.body))))
				wantFrames(t, got, tt.want)
				if err != tt.err {
					t.Errorf("error %v; want %v", err, tt.err)
				}
			})
		}
	}
}

func TestFramesOfAnEventStream(t *testing.T) {
	tests := []struct {
		name, body string
		want       []string
		err        error
	}{
		{"prelude alone", "\r\n", nil, io.EOF},
		{"CRLF", "\r\ndata: o\r\n\r\ndata: h\r\n\r\n", []string{"o", "h"}, io.EOF},
		{"LF", "\ndata: o\n\ndata: h\n\n", []string{"o", "h"}, io.EOF},
		{"CR", "\rdata: o\r\rdata: h\r\r", []string{"o", "h"}, io.EOF},
		{"mixed", "data: o\r\n\ndata: h\n\rdata: h\r\r\n", []string{"o", "h", "h"}, io.EOF},
		{"no space", "data:o\n\n", []string{"o"}, io.EOF},
		{"one space of two", "data:  o\n\n", []string{" o"}, io.EOF},
		{"two lines", "data: a\ndata: b\n\n", []string{"a\nb"}, io.EOF},
		{"other fields", ":comment\nid: 1\nevent: message\nretry: 5\ndata: o\ndatum: x\n\n", []string{"o"}, io.EOF},
		{"no data", "event: message\n\ndata: o\n\n", []string{"o"}, io.EOF},
		{"empty data", "data\n\n", []string{""}, io.EOF},
		{"percent", "data: a[\"%25 %0A%0d%00 %41 %2\"]\n\n", []string{"a[\"% \n\r\x00 %41 %2\"]"}, io.EOF},
		{"percent once", "data: %2525\n\n", []string{"%25"}, io.EOF},
		{"no blank line", "data: o\n\ndata: h\n", []string{"o"}, io.ErrUnexpectedEOF},
		{"cut line", "data: o\n\nda", []string{"o"}, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		for how, body := range bodies {
			t.Run(tt.name+" "+how, func(t *testing.T) {
				r := newEventReader(1 << 20)
				got, err := readFrames(t, r, answer("text/event-stream", body(strings.NewReader(tt.body))))
				wantFrames(t, got, tt.want)
				if err != tt.err {
					t.Errorf("error %v; want %v", err, tt.err)
				}
			})
		}
	}
}

func wantFrames(t *testing.T, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "|"), strings.Join(want, "|"); g != w || len(got) != len(want) {
		t.Errorf("frames %q; want %q", got, want)
	}
}

func TestFrameOfTheLimitPasses(t *testing.T) {
	const limit = 10_000
	frame := strings.Repeat("x", limit)
	readers := map[string]struct {
		new         func() frameReader
		before, end string
	}{
		"xhr":          {func() frameReader { return &xhrReader{lineReader{limit: limit}} }, "", "\n"},
		"event stream": {func() frameReader { return newEventReader(limit) }, "data: ", "\r\n\r\n"},
	}
	for name, r := range readers {
		for how, body := range bodies {
			t.Run(name+" "+how, func(t *testing.T) {
				got, err := readFrames(t, r.new(), answer("text/event-stream", body(strings.NewReader(r.before+frame+r.end))))
				if len(got) != 1 || err != io.EOF {
					t.Errorf("%d frames, %v", len(got), err)
				}
				_, err = readFrames(t, r.new(), answer("text/event-stream", body(strings.NewReader(r.before+frame+"x"+r.end))))
				wantClose(t, err, 1009, "Frame too big")
			})
		}
	}
}

// A line without an end must not be collected without an end.
func TestEndlessLineIsNotKept(t *testing.T) {
	const limit = 10_000
	endless := &counter{}
	_, err := readFrames(t, &xhrReader{lineReader{limit: limit}}, answer("", endless))
	wantClose(t, err, 1009, "Frame too big")
	if endless.n > bufferKeep { // the size of a buffer that another line has left
		t.Errorf("%d bytes read with a limit of %d", endless.n, limit)
	}
	many := newEventReader(limit)
	_, err = readFrames(t, many, answer("text/event-stream", io.MultiReader(strings.NewReader(strings.Repeat("data: x\n", limit)))))
	wantClose(t, err, 1009, "Frame too big")
}

// A counter is an endless body.
type counter struct{ n int }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	c.n += len(p)
	return len(p), nil
}

func TestQuietBodyHasNoBuffer(t *testing.T) {
	r := &xhrReader{lineReader{limit: 1 << 20}}
	body, server := io.Pipe()
	defer body.Close()
	if err := r.start(answer("", body)); err != nil {
		t.Fatal(err)
	}
	go io.WriteString(server, "o\n")
	if p, err := r.next(); string(p) != "o" || err != nil {
		t.Fatalf("%q, %v", p, err)
	}
	done := make(chan error)
	go func() {
		_, err := r.next()
		done <- err
	}()
	waitFor(t, func() bool { return goroutines("(*lineReader).await") == 1 })
	server.CloseWithError(errors.New("over"))
	if err := <-done; err == nil || err.Error() != "over" {
		t.Errorf("error %v", err)
	}
	if r.buf != nil {
		t.Error("a buffer is kept while nothing is in it")
	}
}

// However a body is cut into reads, its frames are the same.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(prelude+"o\na[\"x\"]\nh\n"), 7)
	f.Add([]byte("\r\ndata: o\r\n\r\ndata:a[\"%25\"]\r\rdata\n\nid\n"), 1)
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		for _, newReader := range []func() frameReader{
			func() frameReader { return &xhrReader{lineReader{limit: 100}} },
			func() frameReader { return newEventReader(100) },
		} {
			whole, wholeErr := readFrames(t, newReader(), answer("text/event-stream", bytes.NewReader(body)))
			cut := &cutReader{bytes.NewReader(body), 1 + size&0xfff}
			got, err := readFrames(t, newReader(), answer("text/event-stream", cut))
			wantFrames(t, got, whole)
			if fmt.Sprint(err) != fmt.Sprint(wholeErr) {
				t.Errorf("error %v; want %v", err, wholeErr)
			}
		}
	})
}

// A cutReader returns at most size bytes at a time.
type cutReader struct {
	io.Reader
	size int
}

func (c *cutReader) Read(p []byte) (int, error) { return c.Reader.Read(p[:min(len(p), c.size)]) }
