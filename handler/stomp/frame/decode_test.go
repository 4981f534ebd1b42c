package frame

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

var testLimits = Limits{Frame: 1000, Body: 900, HeaderBytes: 500, Headers: 10}

// text writes a frame so that two can be compared.
func (f *Frame) text() string { return fmt.Sprintf("%s %q %q", f.Command, f.Headers, f.Body) }

// decodePieces returns the frames that pieces hold, and the error they end with.
func decodePieces(d *Decoder, pieces ...[]byte) (frames []string, err error) {
	var f Frame
	for _, p := range pieces {
		d.FeedText(bytes.Clone(p))
		for {
			ok, err := d.Next(&f)
			if err != nil {
				return frames, err
			}
			if !ok {
				break
			}
			frames = append(frames, f.text())
		}
	}
	return frames, nil
}

func decodeAll(v Version, in string) ([]string, error) {
	return decodePieces(&Decoder{Limits: &testLimits, Version: v}, []byte(in))
}

type decodeTest struct {
	name    string
	version Version
	in      string
	want    []string // frames
	err     string   // DecodeError.Message; empty for none
}

var decodeTests = []decodeTest{
	{"connect", V10, "CONNECT\naccept-version:1.2\nhost:a\n\n\x00", []string{`CONNECT [{"accept-version" "1.2"} {"host" "a"}] ""`}, ""},
	{"no headers", V12, "DISCONNECT\n\n\x00", []string{`DISCONNECT [] ""`}, ""},
	{"CRLF", V12, "DISCONNECT\r\nreceipt:1\r\n\r\n\x00\r\n", []string{`DISCONNECT [{"receipt" "1"}] ""`}, ""},
	{"body until NUL", V12, "SEND\ndestination:/a\n\nhello\x00", []string{`SEND [{"destination" "/a"}] "hello"`}, ""},
	{"body by length", V12, "SEND\ncontent-length:3\n\na\x00b\x00", []string{`SEND [{"content-length" "3"}] "a\x00b"`}, ""},
	{"empty body by length", V12, "SEND\ncontent-length:0\n\n\x00", []string{`SEND [{"content-length" "0"}] ""`}, ""},
	{"first length counts", V12, "SEND\ncontent-length:1\ncontent-length:5\n\na\x00", []string{`SEND [{"content-length" "1"} {"content-length" "5"}] "a"`}, ""},
	{"length that is no number", V12, "SEND\ncontent-length:x\n\nabc\x00", []string{`SEND [{"content-length" "x"}] "abc"`}, ""},
	{"length that is empty", V12, "SEND\ncontent-length:\n\nabc\x00", []string{`SEND [{"content-length" ""}] "abc"`}, ""},
	{"negative length", V12, "SEND\ncontent-length:-1\n\nabc\x00", []string{`SEND [{"content-length" "-1"}] "abc"`}, ""},
	{"heart-beats and NULs between frames", V12, "\n\r\n\nACK\nid:1\n\n\x00\n\x00\n\nACK\nid:2\n\n\x00\n", []string{`ACK [{"id" "1"}] ""`, `ACK [{"id" "2"}] ""`}, ""},
	{"heart-beats alone", V12, "\n\n\r\n", nil, ""},
	{"blanks count in 1.2", V12, "SEND\n a : b \n\n\x00", []string{`SEND [{" a " " b "}] ""`}, ""},
	{"blanks count in 1.1", V11, "SEND\n a :\tb \n\n\x00", []string{`SEND [{" a " "\tb "}] ""`}, ""},
	{"blanks are no part of 1.0", V10, "SEND\n a\t: \tb c \r\n\n\x00", []string{`SEND [{"a" "b c"}] ""`}, ""},
	{"blanks alone are an empty value in 1.0", V10, "SEND\na:  \n\n\x00", []string{`SEND [{"a" ""}] ""`}, ""},
	{"only blanks are trimmed in 1.0", V10, "SEND\na:\u00a0b\v\n\n\x00", []string{`SEND [{"a" "\u00a0b\v"}] ""`}, ""},
	{"CONNECT without a version is of 1.0", V10, "CONNECT\nlogin: guest\npasscode: a b \n\n\x00", []string{`CONNECT [{"login" "guest"} {"passcode" "a b"}] ""`}, ""},
	{"CONNECT for 1.0 alone", V10, "CONNECT\naccept-version: 1.0\nlogin: guest\n\n\x00", []string{`CONNECT [{"accept-version" "1.0"} {"login" "guest"}] ""`}, ""},
	{"CONNECT for 1.0 and one not known here", V10, "STOMP\naccept-version:1.0,3.0\nlogin: guest\n\n\x00", []string{`STOMP [{"accept-version" "1.0,3.0"} {"login" "guest"}] ""`}, ""},
	{"CONNECT for 1.2 by a name with blanks", V10, "CONNECT\naccept-version :1.2\npasscode: x \n\n\x00", []string{`CONNECT [{"accept-version " "1.2"} {"passcode" " x "}] ""`}, ""},
	{"CONNECT for 1.1 by a name with blanks", V10, "CONNECT\n\taccept-version: 1.1\n :x\n\n\x00", []string{`CONNECT [{"\taccept-version" " 1.1"} {" " "x"}] ""`}, ""},
	{"CONNECT for 1.0 by a name with blanks", V10, "CONNECT\n accept-version :1.0\npasscode: x \n\n\x00", []string{`CONNECT [{"accept-version" "1.0"} {"passcode" "x"}] ""`}, ""},
	{"CONNECT with two versions", V10, "CONNECT\naccept-version :1.0\naccept-version:1.2\nhost: a\n\n\x00", []string{`CONNECT [{"accept-version" "1.0"} {"accept-version" "1.2"} {"host" "a"}] ""`}, ""},
	{"CONNECT for later versions, too", V10, "CONNECT\naccept-version: 1.0,1.1\npasscode: x \n\n\x00", []string{`CONNECT [{"accept-version" " 1.0,1.1"} {"passcode" " x "}] ""`}, ""},
	{"CONNECT for no version of ours", V10, "CONNECT\naccept-version:3.0\npasscode: x\n\n\x00", []string{`CONNECT [{"accept-version" "3.0"} {"passcode" " x"}] ""`}, ""},
	{"length with blanks in 1.2", V12, "SEND\ncontent-length: 3 \n\na\x00b\x00", []string{`SEND [{"content-length" " 3 "}] "a\x00b"`}, ""},
	{"length with blanks in 1.1", V11, "SEND\ncontent-length:\t3\n\na\x00b\x00", []string{`SEND [{"content-length" "\t3"}] "a\x00b"`}, ""},
	{"length with blanks in 1.0", V10, "SEND\ncontent-length : 3\n\na\x00b\x00", []string{`SEND [{"content-length" "3"}] "a\x00b"`}, ""},
	{"length by another name in 1.2", V12, "SEND\ncontent-length :1\n\nab\x00", []string{`SEND [{"content-length " "1"}] "ab"`}, ""},
	{"length that is blanks", V12, "SEND\ncontent-length: \n\nabc\x00", []string{`SEND [{"content-length" " "}] "abc"`}, ""},
	{"length with a blank within", V12, "SEND\ncontent-length:1 2\n\nabc\x00", []string{`SEND [{"content-length" "1 2"}] "abc"`}, ""},
	{"empty value", V12, "SEND\na:\n\n\x00", []string{`SEND [{"a" ""}] ""`}, ""},
	{"colons in a value", V12, "SEND\na:b:c\n\n\x00", []string{`SEND [{"a" "b:c"}] ""`}, ""},
	{"repeated headers stay", V12, "SEND\na:1\na:2\n\n\x00", []string{`SEND [{"a" "1"} {"a" "2"}] ""`}, ""},
	{"escapes", V12, "SEND\n" + `a\cb:\\x\n\r\c\\` + "\n\n\x00", []string{`SEND [{"a:b" "\\x\n\r:\\"}] ""`}, ""},
	{"escapes of 1.1, and CR", V11, "SEND\n" + `a:\\\n\c\r` + "\n\n\x00", []string{`SEND [{"a" "\\\n:\r"}] ""`}, ""},
	{"no escapes in 1.0", V10, "SEND\n" + `a:\n\q\` + "\n\n\x00", []string{`SEND [{"a" "\\n\\q\\"}] ""`}, ""},
	{"no escapes in CONNECT", V12, "CONNECT\n" + `passcode:a\cb\q` + "\n\n\x00", []string{`CONNECT [{"passcode" "a\\cb\\q"}] ""`}, ""},
	{"no escapes in STOMP", V12, "STOMP\n" + `passcode:\` + "\n\n\x00", []string{`STOMP [{"passcode" "\\"}] ""`}, ""},
	{"body that has no meaning in 1.0", V10, "DISCONNECT\n\nbye\x00", []string{`DISCONNECT [] ""`}, ""},

	{"lone CR between frames", V12, "\n\rACK", nil, `'\r' must be followed by '\n'`},
	{"lone CR in a header", V12, "ACK\na:b\rc\n\n\x00", nil, `'\r' must be followed by '\n'`},
	{"lone CR in a command", V12, "AC\rK\n\n\x00", nil, `'\r' must be followed by '\n'`},
	{"header without colon", V12, "ACK\nfoo\n\n\x00", nil, `Illegal header: 'foo'. A header must be of the form <name>:[<value>].`},
	{"header without name", V12, "ACK\n:foo\n\n\x00", nil, `Illegal header: ':foo'. A header must be of the form <name>:[<value>].`},
	{"header whose name is blanks in 1.0", V10, "ACK\n :foo\n\n\x00", nil, `Illegal header: ' :foo'. A header must be of the form <name>:[<value>].`},
	{"header whose name is blanks in a CONNECT of 1.0", V10, "CONNECT\nlogin:a\n\t: foo\n\n\x00", nil, "Illegal header: '\t: foo'. A header must be of the form <name>:[<value>]."},
	{"command with blanks", V10, "ACK \nid:1\n\n\x00", nil, `No enum constant org.springframework.messaging.simp.stomp.StompCommand.ACK `},
	{"NUL in the headers", V12, "ACK\nid:1\x00\n\n\x00", nil, `Illegal header: 'id:1\0'. A header must be of the form <name>:[<value>].`},
	{"NUL after the command", V12, "ACK\x00", nil, `No enum constant org.springframework.messaging.simp.stomp.StompCommand.ACK\0`},
	{"unknown command", V12, "FOO\n\n\x00", nil, `No enum constant org.springframework.messaging.simp.stomp.StompCommand.FOO`},
	{"command in small letters", V12, "send\n\n\x00", nil, `No enum constant org.springframework.messaging.simp.stomp.StompCommand.send`},
	{"undefined escape", V12, "ACK\n" + `id:ab\t` + "\n\n\x00", nil, `Illegal escape sequence at index 2: ab\t`},
	{"escape without its end", V12, "ACK\n" + `id:a\` + "\n\n\x00", nil, `Illegal escape sequence at index 1: a\`},
	{"undefined escape in a name", V11, "ACK\n" + `\x:1` + "\n\n\x00", nil, `Illegal escape sequence at index 0: \x`},
	{"body on ACK", V12, "ACK\nid:1\n\nabc\x00", nil, `ACK shouldn't have a payload: length=3`},
	{"no NUL after the length", V12, "SEND\ncontent-length:1\n\nab\x00", nil, `Frame must be terminated with a null octet`},
	{"frames before an error", V12, "ACK\nid:1\n\n\x00FOO\n\n\x00", []string{`ACK [{"id" "1"}] ""`}, `No enum constant org.springframework.messaging.simp.stomp.StompCommand.FOO`},
}

// check compares what a decoder gave with what it should.
func (c *decodeTest) check(t *testing.T, how string, got []string, err error) {
	t.Helper()
	message := ""
	var wrong *DecodeError
	if errors.As(err, &wrong) {
		message = wrong.Message
	}
	if message != c.err || (err == nil) != (c.err == "") {
		t.Errorf("%s, %s: error %v, want %s", c.name, how, err, c.err)
	}
	if !reflect.DeepEqual(got, c.want) {
		t.Errorf("%s, %s:\ngot  %q\nwant %q", c.name, how, got, c.want)
	}
}

func TestFramesDecode(t *testing.T) {
	for _, c := range decodeTests {
		got, err := decodeAll(c.version, c.in)
		c.check(t, "whole", got, err)
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %v is no ErrSyntax", c.name, err)
		}
	}
}

func TestFramesDecodeWhereverTheyAreCut(t *testing.T) {
	for _, c := range decodeTests {
		for i := range len(c.in) + 1 {
			got, err := decodePieces(&Decoder{Limits: &testLimits, Version: c.version}, []byte(c.in[:i]), []byte(c.in[i:]))
			c.check(t, fmt.Sprintf("cut at %d", i), got, err)
		}
	}
}

func TestFramesDecodeByteByByte(t *testing.T) {
	for _, c := range decodeTests {
		var pieces [][]byte
		for i := range len(c.in) {
			pieces = append(pieces, []byte{c.in[i]}, nil)
		}
		d := &Decoder{Limits: &testLimits, Version: c.version}
		got, err := decodePieces(d, pieces...)
		c.check(t, "byte by byte", got, err)
		if err == nil && d.Held() != 0 {
			t.Errorf("%s: holds %d bytes between frames", c.name, d.Held())
		}
	}
}

func TestFramesStraddlePieces(t *testing.T) {
	var in strings.Builder
	var want []string
	for i := range 50 {
		body := strings.Repeat("x\x00", i)
		fmt.Fprintf(&in, "SEND\ndestination:/%d\ncontent-length:%d\n\n%s\x00\n", i, len(body), body)
		want = append(want, fmt.Sprintf("SEND [{\"destination\" \"/%d\"} {\"content-length\" \"%d\"}] %q", i, len(body), body))
	}
	for size := 1; size < 300; size += 7 {
		var pieces [][]byte
		for rest := in.String(); rest != ""; {
			n := min(size, len(rest))
			pieces = append(pieces, []byte(rest[:n]))
			rest = rest[n:]
		}
		got, err := decodePieces(&Decoder{Limits: &testLimits, Version: V12}, pieces...)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("pieces of %d: %d frames, %v", size, len(got), err)
		}
	}
}

func TestVersionCountsFromTheNextFrame(t *testing.T) {
	d := &Decoder{Limits: &testLimits}
	d.Feed([]byte("CONNECT\na:\\c\n\n\x00ACK\na:\\c\n\n\x00"))
	var f Frame
	if ok, err := d.Next(&f); !ok || err != nil || f.Headers.Value("a") != `\c` {
		t.Errorf("CONNECT: %v %v %v", f, ok, err)
	}
	d.Version = V12
	if ok, err := d.Next(&f); !ok || err != nil || f.Headers.Value("a") != ":" {
		t.Errorf("ACK: %v %v %v", f, ok, err)
	}
}

// A character cut in halves comes in two pieces, each with a surrogate in
// WTF-8: content-length counts the character's four bytes.
func TestHalvesOfACharacterAreRejoined(t *testing.T) {
	const high, low = "\xed\xa0\xbd", "\xed\xb8\x80" // of U+1F600
	for _, c := range []struct {
		name   string
		pieces []string
		body   string
	}{
		{"cut", []string{"SEND\ncontent-length:6\n\na" + high, low + "b\x00"}, "a\U0001F600b"},
		{"cut, with an empty piece between", []string{"SEND\ncontent-length:6\n\na" + high, "", low + "b\x00"}, "a\U0001F600b"},
		{"cut, body until NUL", []string{"SEND\n\na" + high, low + "b\x00"}, "a\U0001F600b"},
		{"cut in many", []string{"SEND\ncontent-length:8\n\n" + high, low + high, low + "\x00"}, "\U0001F600\U0001F600"},
		{"lone", []string{"SEND\ncontent-length:5\n\na" + high, "b\x00"}, "a" + high + "b"},
		{"lone low", []string{"SEND\ncontent-length:4\n\na", low + "\x00"}, "a" + low},
		{"two high", []string{"SEND\ncontent-length:6\n\n" + high, high + "\x00"}, high + high},
	} {
		d := &Decoder{Limits: &testLimits, Version: V12}
		var f Frame
		for i, p := range c.pieces {
			d.FeedText([]byte(p))
			ok, err := d.Next(&f)
			if err != nil || ok != (i == len(c.pieces)-1) {
				t.Fatalf("%s: piece %d: %v %v", c.name, i, ok, err)
			}
		}
		if string(f.Body) != c.body {
			t.Errorf("%s: got %q, want %q", c.name, f.Body, c.body)
		}
	}
	d := &Decoder{Limits: &testLimits, Version: V12} // bytes stay as they are
	d.Feed([]byte("SEND\ncontent-length:6\n\n" + high))
	var f Frame
	d.Next(&f)
	d.Feed([]byte(low + "\x00"))
	if ok, err := d.Next(&f); !ok || err != nil || string(f.Body) != high+low {
		t.Errorf("binary: got %q, %v, %v", f.Body, ok, err)
	}
}

func TestLimitsHold(t *testing.T) {
	const over = "The configured STOMP buffer size limit of 1000 bytes has been exceeded"
	for _, c := range []struct{ name, in, err string }{
		{"endless command", strings.Repeat("A", 501), "The configured STOMP header size limit of 500 bytes has been exceeded"},
		{"endless header", "SEND\na:" + strings.Repeat("x", 600), "The configured STOMP header size limit of 500 bytes has been exceeded"},
		{"endless headers", "SEND\n" + strings.Repeat("a:"+strings.Repeat("x", 90)+"\n", 6), "The configured STOMP header size limit of 500 bytes has been exceeded"},
		{"many headers", "SEND\n" + strings.Repeat("a:b\n", 11), "The configured STOMP header limit of 10 headers has been exceeded"},
		{"long body by length", "SEND\ncontent-length:901\n\n", "STOMP 'content-length' header value 901  exceeds configured buffer size limit 900"},
		{"content-length of 4 GiB", "SEND\ncontent-length:4294967296\n\n", "STOMP 'content-length' header value 4294967296  exceeds configured buffer size limit 900"},
		{"content-length beyond the integers", "SEND\ncontent-length:99999999999999999999\n\n", "STOMP 'content-length' header value 9223372036854775807  exceeds configured buffer size limit 900"},
		{"long body until NUL", "SEND\n\n" + strings.Repeat("x", 901), "The configured STOMP body size limit of 900 bytes has been exceeded"},
		{"long body until NUL, whole", "SEND\n\n" + strings.Repeat("x", 901) + "\x00", "The configured STOMP body size limit of 900 bytes has been exceeded"},
		{"long frame by length", "SEND\na:" + strings.Repeat("x", 200) + "\ncontent-length:800\n\n", over},
		{"long frame until NUL", "SEND\na:" + strings.Repeat("x", 200) + "\n\n" + strings.Repeat("x", 850), over},
		{"long frame until NUL, whole", "SEND\na:" + strings.Repeat("x", 200) + "\n\n" + strings.Repeat("x", 850) + "\x00", over},
	} {
		for _, size := range []int{1, 100, len(c.in)} {
			d := &Decoder{Limits: &testLimits, Version: V12}
			var pieces [][]byte
			for rest := c.in; rest != ""; rest = rest[min(size, len(rest)):] {
				pieces = append(pieces, []byte(rest[:min(size, len(rest))]))
			}
			frames, err := decodePieces(d, pieces...)
			var wrong *DecodeError
			if !errors.As(err, &wrong) || wrong.Message != c.err || !errors.Is(err, ErrLimit) || len(frames) > 0 {
				t.Errorf("%s in pieces of %d: got %v, want %s", c.name, size, err, c.err)
			}
			if d.Held() > 2*testLimits.Frame {
				t.Errorf("%s: holds %d bytes", c.name, d.Held())
			}
		}
	}
}

func TestWhatIsWithinItsLimitsPasses(t *testing.T) {
	for _, in := range []string{
		"SEND\ncontent-length:900\n\n" + strings.Repeat("x", 900) + "\x00",
		"SEND\n\n" + strings.Repeat("x", 900) + "\x00",
		"SEND\n" + strings.Repeat("a:b\n", 10) + "\n\x00",
		"SEND\na:" + strings.Repeat("x", 491) + "\n\n\x00", // 500 bytes and the NUL
		strings.Repeat("\n", 5000) + "ACK\nid:1\n\n\x00",
	} {
		if frames, err := decodeAll(V12, in); err != nil || len(frames) != 1 {
			t.Errorf("%.40q: %d frames, %v", in, len(frames), err)
		}
	}
}

func TestNothingIsAllocatedForAContentLength(t *testing.T) {
	limits := Limits{Frame: 1 << 30, Body: 1 << 29, HeaderBytes: 500, Headers: 10}
	d := &Decoder{Limits: &limits, Version: V12}
	if _, err := decodePieces(d, []byte("SEND\ncontent-length:500000000\n\nabc")); err != nil {
		t.Fatal(err)
	}
	if d.Held() > 100 {
		t.Errorf("holds %d bytes for the 35 that came", d.Held())
	}
}

func TestStartOfAFrameKeepsNoOtherFrame(t *testing.T) {
	limits := Limits{Frame: 1 << 21, Body: 1 << 21, HeaderBytes: 500, Headers: 10}
	large := bytes.Repeat([]byte("x"), 1<<20)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	decoders := make([]Decoder, 20)
	for i := range decoders {
		d := &decoders[i]
		d.Limits = &limits
		if _, err := decodePieces(d, []byte("SEND\n\n"), large, []byte("\x00ACK")); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 5<<20 {
		t.Errorf("%d bytes are held for 20 times 3", held)
	}
	runtime.KeepAlive(decoders)
}

func BenchmarkDecodeSend(b *testing.B) {
	in := []byte("SEND\ndestination:/topic/chat.general\ncontent-type:application/json\ncontent-length:26\n\n" +
		`{"from":"bob","text":"hi"}` + "\x00")
	limits := Limits{Frame: 64 << 10, Body: 64 << 10, HeaderBytes: 16 << 10, Headers: 100}
	d := &Decoder{Limits: &limits, Version: V12}
	var f Frame
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		d.FeedText(in)
		if ok, err := d.Next(&f); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func TestDecodeAllocatesTheHeadersOnly(t *testing.T) {
	in := []byte("SEND\ndestination:/topic/a\ncontent-length:2\n\nhi\x00")
	d := &Decoder{Limits: &testLimits, Version: V12}
	var f Frame
	n := testing.AllocsPerRun(100, func() {
		d.FeedText(in)
		d.Next(&f)
	})
	if n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}
