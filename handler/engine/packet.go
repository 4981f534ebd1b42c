package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"switchback/handler"
)

// What nodes send is a packet: a letter for its kind, the number of the node that sends it, in
// eight bytes, and, as the kind has it:
//
//	publication  its number in eight bytes; the topic; what is published
//	run          publications to one topic that follow one another: the number of the first in
//	             eight bytes; the topic; of each: its length, what is published
//	resent       the mark of the ask in eight bytes; a publication, or a run
//	announcement flags, incarnation, number, sent, the name; of each other node: its number in
//	             eight bytes, confirmed
//	ask          the mark in eight bytes; of each node that is asked for what may be missing:
//	             its number in eight bytes, after
//	answer       the mark in eight bytes; flags, incarnation, the number of the last
//	             announcement, sent
//	goodbye      nothing
//
// Numbers are unsigned varints where nothing else is said, and texts have their length before
// them. A packet of a kind that is not known is left out and counted: a new kind, or one that
// changes and so takes a new letter, is first received by all nodes, and sent in the version
// after that.
const (
	publication  = 'p'
	run          = 'm'
	resent       = 's'
	announcement = 'a'
	ask          = 'q'
	answer       = 'r'
	goodbye      = 'b'
)

const (
	everythingFlag = 1 << 0 // of an announcement: the node has subscribed to handler.Everything
	confirmFlag    = 1 << 1 // of an announcement: others are to announce themselves at once

	resentFlag = 1 << 0 // of an answer: what was asked for has been sent before it
	holedFlag  = 1 << 1 // and not all of it was there
)

const (
	nodeAt   = 1
	numberAt = 9
	headSize = 17 // of a publication, or a run: what is before the topic
)

// maxRun is how many bytes a run may have: enough that the server's work for a message is
// shared by many, where they are small.
const maxRun = 16 << 10

// maxNodes is how many others may be known, and so how many positions a packet may have.
const maxNodes = 256

// A position is how far a node is.
type position struct{ node, at uint64 }

// A packet has what its kind has.
type packet struct {
	kind byte
	node uint64

	number      uint64 // of the publication, the first of a run, or of the last announcement
	mark        uint64
	flags       uint64
	incarnation uint64
	sent        uint64
	text        []byte // the topic, or the name
	data        []byte
	positions   []position
}

func appendHead(dst []byte, kind byte, node uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), node)
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// newPublication returns a publication that has no number yet.
func newPublication(node uint64, topic string, data []byte) []byte {
	b := make([]byte, 0, headSize+binary.MaxVarintLen32+len(topic)+len(data))
	b = binary.BigEndian.AppendUint64(appendHead(b, publication, node), 0)
	return append(appendText(b, topic), data...)
}

// merge makes runs, in place, of publications with at most so many bytes each. Nothing is kept
// behind them.
func merge(all []Message, most int) []Message {
	whole, merged := all, all[:0]
	for len(all) > 0 {
		n, size := 1, len(all[0].Data)+binary.MaxVarintLen32
		for ; n < len(all) && follows(all[n-1], all[n]); n++ {
			if size += len(all[n].Data) + binary.MaxVarintLen32; size > min(maxRun, most) {
				break
			}
		}
		m := all[0]
		if n > 1 {
			m.Data = newRun(all[:n], size)
		}
		merged, all = append(merged, m), all[n:]
	}
	clear(whole[len(merged):])
	return merged
}

// follows tells whether a publication is the next of a run.
func follows(last, next Message) bool {
	return next.Channel == last.Channel &&
		binary.BigEndian.Uint64(next.Data[numberAt:]) == binary.BigEndian.Uint64(last.Data[numberAt:])+1
}

// newRun returns publications to one topic as a run.
func newRun(all []Message, size int) []byte {
	topic, n := binary.Uvarint(all[0].Data[headSize:])
	start := headSize + n + int(topic)
	b := append(make([]byte, 0, size), all[0].Data[:start]...)
	b[0] = run
	for _, m := range all {
		data := m.Data[start:]
		b = append(binary.AppendUvarint(b, uint64(len(data))), data...)
	}
	return b
}

// append appends a packet that is no publication.
func (p *packet) append(dst []byte) []byte {
	dst = appendHead(dst, p.kind, p.node)
	switch p.kind {
	case resent:
		dst = binary.BigEndian.AppendUint64(dst, p.mark)
		dst = append(dst, p.data...)
	case announcement:
		for _, n := range []uint64{p.flags, p.incarnation, p.number, p.sent} {
			dst = binary.AppendUvarint(dst, n)
		}
		dst = appendPositions(appendText(dst, string(p.text)), p.positions)
	case ask:
		dst = appendPositions(binary.BigEndian.AppendUint64(dst, p.mark), p.positions)
	case answer:
		dst = binary.BigEndian.AppendUint64(dst, p.mark)
		for _, n := range []uint64{p.flags, p.incarnation, p.number, p.sent} {
			dst = binary.AppendUvarint(dst, n)
		}
	}
	return dst
}

func appendPositions(dst []byte, all []position) []byte {
	for _, p := range all {
		dst = binary.AppendUvarint(binary.BigEndian.AppendUint64(dst, p.node), p.at)
	}
	return dst
}

var errPacket = errors.New("engine: a message is no packet of a node, or one of a newer node")

// each calls f for the publications of a run, whose data are their own: one that is kept does
// not keep the others.
func (p *packet) each(f func(packet)) error {
	one := packet{kind: publication, node: p.node, number: p.number, text: p.text}
	for r := (reader{rest: p.data}); len(r.rest) > 0; one.number++ {
		data := r.take(r.number())
		if r.bad {
			return errPacket
		}
		one.data = bytes.Clone(data)
		f(one)
	}
	return nil
}

// after is the position from which an ask wants what a node has sent; false: it wants nothing.
func (p *packet) after(node uint64) (at uint64, wants bool) {
	i := slices.IndexFunc(p.positions, func(p position) bool { return p.node == node })
	if i < 0 {
		return 0, false
	}
	return p.positions[i].at, true
}

// A reader takes parts off the front of a packet.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	front := r.rest[:n]
	r.rest = r.rest[n:]
	return front
}

func (r *reader) fixed() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) positions() (all []position) {
	for len(r.rest) > 0 {
		if len(all) == maxNodes {
			r.bad = true
			return nil
		}
		all = append(all, position{r.fixed(), r.number()})
	}
	return all
}

// decode returns what a packet has. Its text and data are parts of b.
func decode(b []byte) (packet, error) {
	if len(b) == 0 {
		return packet{}, errPacket
	}
	r := reader{rest: b[nodeAt:]}
	p := packet{kind: b[0], node: r.fixed()}
	switch p.kind {
	case publication, run:
		p.number = r.fixed()
		p.text = r.take(r.number())
		p.data = r.rest
	case resent:
		p.mark = r.fixed()
		p.data = r.rest
	case announcement:
		p.flags, p.incarnation, p.number, p.sent = r.number(), r.number(), r.number(), r.number()
		p.text = r.take(r.number())
		r.bad = r.bad || len(p.text) > handler.MaxID
		p.positions = r.positions()
	case ask:
		p.mark = r.fixed()
		p.positions = r.positions()
	case answer:
		p.mark = r.fixed()
		p.flags, p.incarnation, p.number, p.sent = r.number(), r.number(), r.number(), r.number()
	case goodbye:
	default:
		r.bad = true
	}
	if r.bad {
		return packet{}, errPacket
	}
	return p, nil
}
