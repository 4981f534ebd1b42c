package frame

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzDecode(f *testing.F) {
	for _, c := range decodeTests {
		f.Add([]byte(c.in), uint8(c.version), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, v uint8, cut int) {
		version := Version(v % 3)
		whole := &Decoder{Limits: &testLimits, Version: version}
		want, wantErr := decodePieces(whole, in)
		if !utf8.Valid(in) {
			return // halves of a character are not pieces of the same text
		}
		cut = min(max(cut, 0), len(in))
		parts := &Decoder{Limits: &testLimits, Version: version}
		got, err := decodePieces(parts, in[:cut], in[cut:])
		if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("whole: %q, %v; cut at %d: %q, %v", want, wantErr, cut, got, err)
		}
	})
}

func FuzzFrameComesBack(f *testing.F) {
	f.Add("destination", "/topic/a", "custom", "a:b\nc\r\\", []byte("x\x00y"), uint8(2))
	f.Add("a:b", "", "\\n", "é\x00", []byte{}, uint8(1))
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string, body []byte, v uint8) {
		version := Version(v % 3)
		h := Headers{{name1, value1}, {name2, value2}}
		limits := Limits{Frame: 1 << 20, Body: 1 << 20, HeaderBytes: 1 << 20, Headers: 10}
		for _, in := range [][]byte{
			Append(nil, version, Send, h, body),
			AppendMessage(nil, version, Delivery{Subscription: value1, MessageID: value2}, h, body),
		} {
			d := &Decoder{Limits: &limits, Version: version}
			d.Feed(in)
			var got Frame
			ok, err := d.Next(&got)
			if err != nil && bytes.IndexByte(in, '\r') >= 0 && version == V11 {
				return // a CR has no escape in 1.1
			}
			if err != nil || !ok || !bytes.Equal(got.Body, body) {
				t.Fatalf("%q: %v %v %v", in, got, ok, err)
			}
			if ok, err := d.Next(&got); ok || err != nil || d.Held() != 0 {
				t.Fatalf("%q: more than one frame: %v", in, err)
			}
			if version == V12 && !strings.ContainsRune(value1, 0) && name1 != "" && !Delivered(name1) && !strings.ContainsRune(name1, 0) {
				if value := got.Headers.Value(name1); value != value1 {
					t.Fatalf("%q: got %q", value1, value)
				}
			}
		}
	})
}
