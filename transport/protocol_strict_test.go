package transport_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A strictCase is a script and what a server answers to every request.
type strictCase struct {
	name   string
	answer string
	stays  bool // the server does not close the connection
	script string
	want   string // part of the error, or empty
}

const (
	greeting = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
	stream   = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no\n\r\n3\r\nab\n\r\n0\r\n\r\n"
	object   = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"n\":12}\n"
	upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
)

var strictCases = []strictCase{
	{"a right answer passes", greeting, true, "GET /\nstatus 200\nheader Content-Type is text/plain\nheader Expires absent\nbody \"hello\"", ""},
	{"a right stream passes", stream, false, "GET /\nstatus 200\nchunk \"o\\n\"\nchunk `ab` \"\\n\"\nend\neof", ""},
	{"one of two bodies passes", greeting, true, "GET /\nbody \"ciao\" or `hel` `lo`", ""},
	{"a kept connection passes", greeting, true, "on one\n    repeat 3\n        GET /\n        body \"hello\"", ""},
	{"no right try in time", greeting, true, "within 30ms\n    GET /\n    body \"ciao\"", `got  "hello"`},

	{"a wrong body of ours", greeting, true, "GET /\nours\n    body \"hallo\"\nbody \"hello\"", `got  "hello"`},
	{"a wrong body", greeting, true, "GET /\nbody \"hallo\"", `got  "hello"`},
	{"a longer body", greeting, true, "GET /\nbody \"hell\"", `got  "hello"`},
	{"no such part", greeting, true, "GET /\nbody contains \"hallo\"", `got  "hello"`},
	{"a wrong status", greeting, true, "GET /\nstatus 204 or 404", "want 204 or 404"},
	{"a missing header", greeting, true, "GET /\nstatus 200\nheader ETag present", "want present"},
	{"a header too many", greeting, true, "GET /\nstatus 200\nheader Content-Type absent", "want absent"},
	{"another header", greeting, true, "GET /\nstatus 200\nheader Content-Type is text/html", "got  text/plain"},
	{"a header that should differ", greeting, true, "GET /\nstatus 200\nheader Content-Type is not text/plain", "got  text/plain"},
	{"a header that does not match", greeting, true, "GET /\nstatus 200\nheader Content-Type matches ^html", "got  text/plain"},
	{"a header given twice", "HTTP/1.1 200 OK\r\nA: 1\r\nA: 1\r\nContent-Length: 0\r\n\r\n", true, "GET /\nheader A is 1", "one header line"},
	{"another member", object, true, "GET /\njson n is 13", "got  12"},
	{"no member", object, true, "GET /\njson m is 12", "want is 12"},
	{"no object", greeting, true, "GET /\njson n is 12", "want a JSON object"},
	{"another message", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\na[\"b\"]\n", true, "GET /\nmessage \"a\"", "got  "},
	{"a message too many", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\na[\"a\",\"\"]", true, "GET /\nmessage \"a\"", "got  "},

	{"bytes after the response", greeting + "!", false, "GET /\nbody \"hello\"", `want nothing after the response`},
	{"bytes after a kept response", greeting + "!", true, "on one\n    GET /\n    body \"hello\"\n    eof", `got  "!"`},
	{"no end of the connection", greeting, true, "on one\n    GET /\n    body \"hello\"\n    eof", "i/o timeout"},
	{"a body cut short", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", false, "GET /\nbody \"hello\"", "unexpected EOF"},
	{"no answer", "", false, "GET /\nstatus 200", "EOF"},
	{"a late answer", "", true, "GET /\nstatus 200", "i/o timeout"},
	{"two frames in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\no\nh\n\r\n", true, "on one\n    GET /\n    chunk \"o\\n\"", `got  "o\nh\n"`},
	{"a chunk instead of the end", stream, true, "GET /\nchunk \"o\\n\"\nend", `got  "ab\n"`},
	{"the end instead of a chunk", stream, true, "GET /\nchunk \"o\\n\"\nchunk \"ab\\n\"\nchunk \"c\\n\"", `got  ""`},
	{"no end of the stream", strings.TrimSuffix(stream, "0\r\n\r\n"), false, "GET /\nchunk \"o\\n\"\nchunk \"ab\\n\"\nend", "EOF"},
	{"a chunk that is not padded", stream, false, "GET /\nchunk padded past 2 \"o\"", "after 2 bytes"},
	{"other bytes", "HTTP/1.0 200 OK\r\n\r\nab", false, "GET / HTTP/1.0\nbytes \"ac\"", `got  "ab"`},

	{"a bad status line", "HTTP/1.1 OK\r\n\r\n", true, "GET /\nstatus 200", "bad status line"},
	{"an older version", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", true, "GET /\nstatus 200", "an older status line"},
	{"lines without CR", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", true, "GET /\nstatus 200", "without CR"},
	{"a space in a header's name", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", true, "GET /\nstatus 200", "bad header line"},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", true, "GET /\nstatus 200", "bad Content-Length"},
	{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", true, "GET /\nstatus 200", "both"},
	{"chunks for HTTP/1.0", stream, true, "GET / HTTP/1.0\nstatus 200", "HTTP/1.0"},
	{"neither length nor chunks", "HTTP/1.1 200 OK\r\n\r\n", true, "GET /\nstatus 200", "end of the body is not known"},
	{"a length of nothing", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true, "GET /\nstatus 204", "status 204 with"},
	{"a bad chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 2\r\no\n\r\n", true, "GET /\nchunk \"o\\n\"", "bad chunk size"},
	{"a chunk without its end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no\nxx", true, "GET /\nchunk \"o\\n\"", "after a chunk"},
	{"a handshake without a key", upgraded, true, "websocket /", "Sec-WebSocket-Accept"},
	{"a handshake refused", greeting, true, "websocket /", "status 200"},
	{"another frame", upgraded + "\x81\x01o", true, "on one\n    GET /\n    text \"h\"", `got  text "o"`},
	{"a frame too many", upgraded + "\x81\x01o\x81\x01h", true, "GET /\ntext \"o\"", "want nothing more"},
	{"another close frame", upgraded + "\x88\x04\x0b\xb8go", true, "GET /\nclose 3001 \"go\"", `got  close 3000 "go"`},
	{"no end after a close frame", upgraded + "\x88\x00\x81\x00", true, "GET /\nclosed", "want the end"},
	{"a message instead of the end", upgraded + "\x81\x00", true, "GET /\nclosed", `got  text ""`},

	{"a response that is not read", greeting, true, "GET /\nstatus 200", "not read to its end"},
	{"a second request too early", stream, true, "on one\n    GET /\n    status 200\n    GET /", "not been read to its end"},
	{"an unknown verb", greeting, true, "GET /\nbodies \"hello\"", "unknown verb"},
	{"an unknown variable", greeting, true, "GET /$nobody", "unknown variable"},
	{"an unknown relation", greeting, true, "GET /\nheader Content-Type equals text/plain", "unknown relation"},
	{"a text without quotes", greeting, true, "GET /\nbody hello", "not a text"},
	{"no text", greeting, true, "GET /\nbody", "a text is needed"},
}

// The player finds fault where there is one.
func TestThePlayerIsStrict(t *testing.T) {
	t.Parallel()
	for _, c := range strictCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc, err := parseScript(c.name, "# "+c.name+"\n"+c.script)
			if err != nil {
				t.Fatal(err)
			}
			err = target{ownImplementation, answering(t, c), 2 * time.Second}.play(sc)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// answering serves a case's answer until the end of the test.
func answering(t *testing.T, c strictCase) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { answer(conn, c) })
		}
	})
	return l.Addr().String()
}

// answer answers requests until the client, or the case, ends the connection.
func answer(conn net.Conn, c strictCase) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = r.ReadString('\n'); err != nil {
				return
			}
		}
		io.WriteString(conn, c.answer)
		if !c.stays {
			return
		}
	}
}

func TestFramesAreReadStrictly(t *testing.T) {
	for _, c := range []struct{ name, frame, want string }{
		{"a text", "\x81\x01o", `text "o"`},
		{"a long text", "\x81\x7e\x00\x7e" + strings.Repeat("x", 126), `text "` + strings.Repeat("x", 126) + `"`},
		{"a close frame", "\x88\x04\x0b\xb8go", `close 3000 "go"`},
		{"an empty close frame", "\x88\x00", "close"},
		{"a masked frame", "\x81\x81mask\x02", "a masked frame"},
		{"a fragment", "\x01\x01o", "a fragment"},
		{"a reserved bit", "\xc1\x01o", "reserved bits"},
		{"a length too long", "\x81\x7e\x00\x01o", "bad frame length"},
		{"a longer length too long", "\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x7eo", "bad frame length"},
		{"a frame too big", "\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00", "bad frame length"},
		{"half a frame", "\x81\x02o", "unexpected EOF"},
		{"half a header", "\x81", "unexpected EOF"},
		{"text that is not UTF-8", "\x81\x01\xff", "not UTF-8"},
		{"half a code", "\x88\x01\x03", "half a code"},
		{"a reason that is not UTF-8", "\x88\x03\x0b\xb8\xff", "not UTF-8"},
		{"a long ping", "\x89\x7e\x00\x7e" + strings.Repeat("x", 126), "126 bytes"},
	} {
		f, err := readFrame(bufio.NewReader(strings.NewReader(c.frame)))
		switch {
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		case err == nil && f.String() != c.want:
			t.Errorf("%s: got %s, want %s", c.name, f, c.want)
		}
	}
}

func TestClientFramesAreMasked(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 1<<16 - 1, 1 << 16} {
		sent := appendFrame(nil, frame{opText, []byte(strings.Repeat("x", size))})
		if sent[0] != 0x81 || sent[1]&0x80 == 0 {
			t.Errorf("%d bytes: header %x", size, sent[:2])
		}
		head := len(sent) - size
		mask, text := sent[head-4:head], sent[head:]
		for i := range text {
			if text[i]^mask[i%4] != 'x' {
				t.Fatalf("%d bytes: byte %d is not masked", size, i)
			}
		}
	}
}

// What a script says of an implementation must be so.
func TestDifferencesAreHeldToo(t *testing.T) {
	address := answering(t, strictCase{answer: greeting, stays: true})
	for _, c := range []struct{ name, differs, script, want string }{
		{"none", "", `body "hello"`, ""},
		{"as said", "fails at body because it is rude", `body "ciao"`, ""},
		{"for another implementation", "", `body "ciao"`, `got  "hello"`},
		{"passes", "fails at body because it is rude", `body "hello"`, "should fail at \"body\" because it is rude"},
		{"fails elsewhere", "fails at body because it is rude", "status 204", "but: "},
		{"a mistake of the script's", "fails at body because it is rude", "body ciao", "not a text"},
		{"flickers, and never passes", "flickers because it is moody", `body "ciao"`, `got  "hello"`},
		{"held to what is ours", "", "ours\n    body \"ciao\"\nbody \"hello\"", ""},
	} {
		source := "# " + c.name + "\nimplementation moody\n    " + c.differs + "\nGET /\n" + c.script
		sc, err := parseScript(c.name, source)
		if err != nil {
			t.Fatal(err)
		}
		err = target{"moody", address, time.Second}.judge(sc)
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// A script that flickers passes if it does so once.
func TestFlickeringScriptsAreTriedAgain(t *testing.T) {
	sc, err := parseScript("flickers", "# flickers\nimplementation moody\n    flickers because it is moody\nGET /$session\nstatus 200\nbody any")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(func() {
		for _, text := range []string{"", "", greeting} {
			if conn, err := l.Accept(); err == nil {
				answer(conn, strictCase{answer: text})
			}
		}
	})
	if err := (target{"moody", l.Addr().String(), time.Second}).judge(sc); err != nil {
		t.Error(err)
	}
}

func TestBadScriptsAreRefused(t *testing.T) {
	for source, want := range map[string]string{
		"GET /":                       "what it is about",
		"# empty":                     "no steps",
		"# odd\n  GET /":              "2: bad indentation",
		"# deep\nGET /\n        A: b": "3: bad indentation",
		"# why\nimplementation igm\n    fails at body\nGET /":  "3: no reason",
		"# what\nimplementation igm\n    is because so\nGET /": "3: neither",
	} {
		if _, err := parseScript("s", source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", source, err, want)
		}
	}
}
