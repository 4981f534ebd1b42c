package engine

import (
	"reflect"
	"testing"
)

var packets = []packet{
	{kind: resent, node: 1, mark: 2, data: newPublication(1, "a", []byte("text"))},
	{kind: announcement, node: 1<<64 - 1, flags: 1, incarnation: 2, number: 3, sent: 1 << 40, text: []byte("name"), positions: []position{{4, 5}, {6, 1 << 63}}},
	{kind: announcement, node: 1, text: []byte{}},
	{kind: ask, node: 1, mark: 2, positions: []position{{3, 4}}},
	{kind: answer, node: 1, mark: 2, flags: 3, incarnation: 4, number: 5, sent: 6},
	{kind: goodbye, node: 1},
}

func TestPacketsComeBack(t *testing.T) {
	for _, p := range packets {
		wire := p.append(nil)
		if got, err := decode(wire); err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("got %+v, %v, want %+v", got, err, p)
		}
		for n := range min(len(wire), headSize) {
			if p.kind == announcement || n < numberAt {
				if got, err := decode(wire[:n]); err == nil && n < len(wire) && p.kind != goodbye {
					t.Errorf("%q: got %+v", wire[:n], got)
				}
			}
		}
	}
	p, err := decode(newPublication(7, "topic", []byte("text")))
	if err != nil || p.kind != publication || p.node != 7 || p.number != 0 || string(p.text) != "topic" || string(p.data) != "text" {
		t.Errorf("got %+v, %v", p, err)
	}
}

// Whatever comes, it is a packet or none, and nothing is read that is not there.
func FuzzDecode(f *testing.F) {
	for _, p := range packets {
		f.Add(p.append(nil))
	}
	f.Add(newPublication(7, "topic", []byte("text")))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decode(data)
		if err != nil || p.kind == publication {
			return
		}
		again, err := decode(p.append(nil))
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("got %+v, %v, want %+v", again, err, p)
		}
	})
}
