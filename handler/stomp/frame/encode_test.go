package frame

import (
	"strings"
	"testing"
)

func TestFramesEncode(t *testing.T) {
	odd := Headers{{"a:b", "x"}, {"c", "1:2\n3\r4\\5\x006"}}
	for _, c := range []struct {
		version Version
		command Command
		headers Headers
		body    string
		want    string
	}{
		{V12, Receipt, Headers{{"receipt-id", "1"}}, "", "RECEIPT\nreceipt-id:1\n\n\x00"},
		{V12, Receipt, Headers{{"receipt-id", "a:b"}}, "", "RECEIPT\nreceipt-id:a\\cb\n\n\x00"},
		{V12, Connected, Headers{{"version", "1.2"}, {"heart-beat", "0,0"}, {"user-name", "a:\\b\nx:y"}}, "",
			"CONNECTED\nversion:1.2\nheart-beat:0,0\nuser-name:a:\\b x:y\n\n\x00"},
		{V12, Error, Headers{{"message", "no"}}, "", "ERROR\nmessage:no\ncontent-length:0\n\n\x00"},
		{V12, Send, Headers{{"content-length", "99"}, {"destination", "/a"}}, "a\x00é", "SEND\ndestination:/a\ncontent-length:4\n\na\x00é\x00"},
		{V12, Error, Headers{{" content-length\t", "1"}, {"message", "no"}}, "no", "ERROR\nmessage:no\ncontent-length:2\n\nno\x00"},
		{V12, Send, odd, "", "SEND\na\\cb:x\nc:1\\c2\\n3\\r4\\\\5 6\ncontent-length:0\n\n\x00"},
		{V11, Send, odd, "", "SEND\na\\cb:x\nc:1\\c2\\n3\r4\\\\5 6\ncontent-length:0\n\n\x00"},
		{V12, Send, Headers{{" ", "x"}}, "", "SEND\n :x\ncontent-length:0\n\n\x00"},
		{V10, Send, Headers{{" ", "x"}, {"\n\x00", "x"}, {" a", " b"}}, "", "SEND\n a: b\ncontent-length:0\n\n\x00"},
		{V10, Send, odd, "", "SEND\nc:1:2 3 4\\5 6\ncontent-length:0\n\n\x00"},
	} {
		if got := string(Append(nil, c.version, c.command, c.headers, []byte(c.body))); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.version, got, c.want)
		}
	}
}

// The order is Spring's.
func TestMessagesEncode(t *testing.T) {
	h := Headers{{"destination", "/topic/a"}, {"content-type", "text/plain"}, {"subscription", "forged"}, {"content-length", "0"}, {"ack", "forged"}}
	for _, c := range []struct {
		version  Version
		delivery Delivery
		want     string
	}{
		{V12, Delivery{Subscription: "sub-0", MessageID: "m-1"}, "subscription:sub-0\nmessage-id:m-1\n"},
		{V12, Delivery{Subscription: "sub-0", MessageID: "m-1", Ack: "m-1", Redelivered: true}, "subscription:sub-0\nmessage-id:m-1\nack:m-1\nredelivered:true\n"},
		{V12, Delivery{Subscription: "sub-0", MessageID: "m-1", Offset: "a/1", Gap: true, Unread: "2"}, "subscription:sub-0\nmessage-id:m-1\noffset:a/1\ngap:true\nunread:2\n"},
		{V11, Delivery{Subscription: "sub:0", MessageID: "m-1", Ack: "m-1"}, "subscription:sub\\c0\nmessage-id:m-1\n"},
		{V10, Delivery{MessageID: "m-1", Ack: "m-1"}, "message-id:m-1\n"},
	} {
		want := "MESSAGE\ndestination:/topic/a\ncontent-type:text/plain\n" + c.want + "content-length:2\n\nhi\x00"
		if got := string(AppendMessage(nil, c.version, c.delivery, h, []byte("hi"))); got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.version, got, want)
		}
	}
}

// trimmed is how stompjs 2 reads the name of a header: trimmed as JavaScript does
// it, in every version.
func trimmed(name string) string {
	return strings.Trim(name, "\t\n\v\f\r \u00a0\u1680\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff")
}

// What the sender of a message calls its headers makes no second frame of it, and
// takes nothing of the server's place, with a peer that trims names either.
func TestHeadersOfASenderForgeNothing(t *testing.T) {
	const body = "x\x00MESSAGE\ndestination:/secret\n\nforged\x00"
	var around []string
	for r := range '\uffff' {
		if c := string(r); r == 0 || trimmed(c) == "" {
			around = append(around, c, " "+c)
		}
	}
	for _, name := range []string{"content-length", "subscription", "message-id", "ack", "redelivered", "offset", "gap", "unread"} {
		for _, c := range around {
			for _, forged := range []string{name, name + c, c + name, c + name + c} {
				for v := V10; v <= V12; v++ {
					in := AppendMessage(nil, v, Delivery{Subscription: "s", MessageID: "m", Ack: "m", Redelivered: true, Offset: "a/9", Unread: "2"}, Headers{{"destination", "/a"}, {forged, "1"}}, []byte(body))
					d := &Decoder{Limits: &testLimits, Version: v}
					d.Feed(in)
					var f Frame
					if ok, err := d.Next(&f); !ok || err != nil || string(f.Body) != body {
						t.Fatalf("%s, %q: got %v, %v, body %q", v, forged, ok, err, f.Body)
					}
					for _, h := range f.Headers {
						if trimmed(strings.ReplaceAll(h.Name, "\x00", " ")) == name && h.Value == "1" {
							t.Errorf("%s, %q: the header is there: %q", v, forged, f.Headers)
						}
					}
				}
			}
		}
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	h := Headers{{"destination", "/topic/a"}, {"odd", "a:b\n"}}
	dst := make([]byte, 0, 1000)
	n := testing.AllocsPerRun(100, func() {
		dst = AppendMessage(dst[:0], V12, Delivery{Subscription: "sub-0", MessageID: "m-1", Ack: "x"}, h, []byte("hi"))
		dst = Append(dst[:0], V12, Receipt, Headers{{"receipt-id", "1"}}, nil)
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHighestCommonVersion(t *testing.T) {
	for _, c := range []struct {
		accept string
		want   string
	}{
		{"1.0,1.1,1.2", "1.2"}, {"1.2,1.1,1.0", "1.2"}, {"1.1,1.0", "1.1"}, {" 1.0 , 1.1 ", "1.1"},
		{"1.0", "1.0"}, {"2.0,1.1", "1.1"}, {"2.0", ""}, {"", ""}, {"1.10", ""}, {"1.2;q=1", ""},
	} {
		v, ok := Negotiate(Headers{{"accept-version", c.accept}})
		if ok != (c.want != "") || ok && v.String() != c.want {
			t.Errorf("%q: got %v, %v", c.accept, v, ok)
		}
	}
	if v, ok := Negotiate(Headers{{"\taccept-version ", "1.1"}, {"accept-version", "1.2"}}); !ok || v != V11 {
		t.Errorf("with blanks around the name: %v, %v", v, ok)
	}
	if v, ok := Negotiate(nil); !ok || v != V10 {
		t.Errorf("without the header: %v, %v", v, ok)
	}
}

func TestTextIsMadeValid(t *testing.T) {
	for _, c := range []struct {
		in    string
		valid bool
		want  string
	}{
		{"", true, ""},
		{"aé\U0001F600\x00", true, "aé\U0001F600\x00"},
		{"a\uFFFD", true, "a\uFFFD"},
		{"a\xed\xa0\xbdb", true, "a\xed\xa0\xbdb"}, // a lone surrogate
		{"\xed\xa0\xbd\xed\xa0\xbd", true, "\xed\xa0\xbd\xed\xa0\xbd"},
		{"\xed\xa0\xbd\xed\xb8\x80", false, "\U0001F600"},
		{"\xff\x00\xfe", false, "\uFFFD\x00\uFFFD"},
		{"a\xc3", false, "a\uFFFD"},
		{"\xed\xa0", false, "\uFFFD\uFFFD"},
	} {
		if got := IsText([]byte(c.in)); got != c.valid {
			t.Errorf("%q: valid %v", c.in, got)
		}
		if got := string(AppendText(nil, []byte(c.in))); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
		if !IsText(AppendText(nil, []byte(c.in))) {
			t.Errorf("%q: what was made valid is not", c.in)
		}
	}
}

func TestCloneIsItsOwn(t *testing.T) {
	f := Frame{Command: Send, Headers: Headers{{"a", "1"}}, Body: []byte("body")}
	g := f.Clone()
	f.Headers[0].Value, f.Body[0] = "2", 'X'
	if g.text() != `SEND [{"a" "1"}] "body"` {
		t.Errorf("got %s", g.text())
	}
	if g.Size() != 4+32+2 {
		t.Errorf("size %d", g.Size())
	}
}

func BenchmarkAppendMessage(b *testing.B) {
	h := Headers{{"destination", "/topic/chat.general"}, {"content-type", "application/json"}}
	body := []byte(strings.Repeat("x", 100))
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendMessage(dst[:0], V12, Delivery{Subscription: "sub-0", MessageID: "abcdef-1"}, h, body)
	}
}
