package engine

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
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

// Publications that follow one another on a channel are one message, where they are small; each
// comes out as it went in.
func TestRuns(t *testing.T) {
	publish := func(number uint64, topic string, size int) Message {
		m := Message{topicChannel(topic), newPublication(7, topic, bytes.Repeat([]byte{byte(number)}, size))}
		binary.BigEndian.PutUint64(m.Data[numberAt:], number)
		return m
	}
	all := []Message{
		publish(1, "a", 256), publish(2, "a", 0), publish(3, "a", 300),
		publish(4, "b", 256),
		publish(5, "a", 256),
		publish(7, "a", 256), publish(8, "a", maxRun-400), // 6 was larger than the server takes
		publish(9, "a", 256),
		publish(10, "a", maxRun),
	}
	for n := range uint64(50) {
		all = append(all, publish(11+n, strings.Repeat("long", 50), 1<<10))
	}
	for most, want := range map[int][]int{
		1 << 20: {3, 1, 1, 2, 1, 1, 13, 13, 13, 11},
		1 << 10: slices.Repeat([]int{1}, len(all)),
	} {
		if most == 1<<10 {
			want = append([]int{3}, want[3:]...)
		}
		var counts []int
		left, whole := all, slices.Clone(all)
		merged := merge(whole, most)
		if slices.ContainsFunc(whole[len(merged):], func(m Message) bool { return m.Data != nil }) {
			t.Error("what is merged is kept")
		}
		for _, m := range merged {
			p, err := decode(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			n := 1
			if p.kind == run {
				if len(m.Data) > min(most, maxRun) {
					t.Errorf("a run of %d bytes", len(m.Data))
				}
				n = 0
				if err := p.each(func(one packet) {
					if want, _ := decode(left[n].Data); m.Channel != left[n].Channel || !reflect.DeepEqual(one, want) {
						t.Errorf("number %d of %s", one.number, one.text)
					}
					n++
				}); err != nil {
					t.Fatal(err)
				}
			} else if !reflect.DeepEqual(m, left[0]) {
				t.Errorf("number %d has changed", p.number)
			}
			counts, left = append(counts, n), left[n:]
		}
		if !slices.Equal(counts, want) || len(left) > 0 {
			t.Errorf("at most %d: got %v, want %v; %d are left", most, counts, want, len(left))
		}
	}
	p, err := decode(merge(all[:3], maxRun)[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	p.data = p.data[:len(p.data)-1]
	var got int
	if err := p.each(func(packet) { got++ }); err == nil || got != 2 {
		t.Errorf("of a run that is cut: %d, %v", got, err)
	}
}

// Whatever comes, it is a packet or none, and nothing is read that is not there.
func FuzzDecode(f *testing.F) {
	for _, p := range packets {
		f.Add(p.append(nil))
	}
	f.Add(newPublication(7, "topic", []byte("text")))
	f.Add(newRun([]Message{{"", newPublication(7, "topic", []byte("text"))}}, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decode(data)
		switch {
		case err != nil || p.kind == publication:
			return
		case p.kind == run:
			p.each(func(packet) {})
			return
		}
		again, err := decode(p.append(nil))
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("got %+v, %v, want %+v", again, err, p)
		}
	})
}
