package handler

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	stamp    = "\x01\x02\x03\x04\x05\x06\x07\x08" + "\x00\x00\x00\x00\x00\x00\x00\x09"
	position = "\x00\x00\x00\x00\x00\x00\x00\x01" + "\x00\x00\x00\x00\x00\x00\x00\xff"
)

var wire = []struct {
	p    Publication
	wire string
}{
	{Publication{}, "\x01\x00" + strings.Repeat("\x00", 16)},
	{Publication{Origin: 0x0102030405060708, Counter: 9, Text: []byte("text")}, "\x01\x00" + stamp + "text"},
	{Publication{Origin: 0x0102030405060708, Counter: 9, ID: "id", Text: []byte("text")}, "\x01\x01" + stamp + "\x02id" + "text"},
	{Publication{Origin: 0x0102030405060708, Counter: 9, Epoch: 1, Offset: 255}, "\x01\x02" + stamp + position},
	{Publication{Origin: 0x0102030405060708, Counter: 9, ID: strings.Repeat("x", MaxID), Epoch: 1, Offset: 255, Text: []byte("\x01")},
		"\x01\x03" + stamp + "\xff" + strings.Repeat("x", MaxID) + position + "\x01"},
	{Publication{Origin: 0x0102030405060708, Counter: 9, ID: "id", User: "kim", Epoch: 1, Offset: 255, Text: []byte("text")},
		"\x01\x07" + stamp + "\x02id" + position + "\x03kim" + "text"},
	{Publication{Origin: 0x0102030405060708, Counter: 9, At: time.UnixMilli(258).UTC(), Text: []byte("text")},
		"\x01\x08" + stamp + "\x00\x00\x00\x00\x00\x00\x01\x02" + "text"},
	{Publication{Origin: 0x0102030405060708, Counter: 9, ID: "id", Once: 0xff, Text: []byte("text")},
		"\x01\x11" + stamp + "\x02id" + "\x00\x00\x00\x00\x00\x00\x00\xff" + "text"},
}

func TestPublicationBetweenNodes(t *testing.T) {
	for _, c := range wire {
		if got := c.p.append([]byte("before")); string(got) != "before"+c.wire {
			t.Errorf("%+v: got %q", c.p, got)
		}
		whole := len(c.wire) - len(c.p.Text)
		for n := range whole {
			if p, err := decodePublication([]byte(c.wire[:n])); err == nil {
				t.Errorf("%q: got %+v", c.wire[:n], p)
			}
		}
	}
	for _, bad := range []string{"\x00\x00" + stamp, "\x02\x00" + stamp, "\x01\x20" + stamp, "\x01\x80" + stamp + position} {
		if p, err := decodePublication([]byte(bad)); err == nil {
			t.Errorf("%q: got %+v", bad, p)
		}
	}
}

func FuzzPublicationComesBack(f *testing.F) {
	for _, c := range wire {
		f.Add(c.p.Origin, c.p.Counter, c.p.ID, c.p.User, c.p.Epoch, c.p.Offset, c.p.At.UnixMilli(), c.p.Once, c.p.Text)
	}
	f.Fuzz(func(t *testing.T, origin, counter uint64, id, user string, epoch, offset uint64, at int64, once uint64, text []byte) {
		p := Publication{Origin: origin, Counter: counter, ID: id[:min(len(id), MaxID)], User: user[:min(len(user), MaxID)], Epoch: epoch, Offset: offset, At: time.UnixMilli(at).UTC(), Once: once, Text: text}
		if p.At.IsZero() {
			p.At = time.Time{}
		}
		got, err := decodePublication(p.append(nil))
		if err != nil || !bytes.Equal(got.Text, text) {
			t.Fatalf("%+v: got %+v, %v", p, got, err)
		}
		if got.Text = text; !reflect.DeepEqual(*got, p) {
			t.Errorf("got %+v, want %+v", got, p)
		}
	})
}

func FuzzDecodePublication(f *testing.F) {
	for _, c := range wire {
		f.Add([]byte(c.wire))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePublication(data)
		if err != nil {
			return
		}
		again, err := decodePublication(p.append(nil))
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("got %+v, %v, want %+v", again, err, p)
		}
	})
}
