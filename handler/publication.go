package handler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchback/session"
)

// A Publication is a message on one or more topics. Who publishes it sets Text or Payload,
// and the rest as it likes, but for the stamp. It is the Hub's until PublishTo returns. A
// subscriber is given it for as long as Receive takes, and keeps nothing of it.
type Publication struct {
	// Origin and Counter are its stamp, which the Hub sets: the number of the node that
	// published it, which is random, and a number that rises from one of the node's
	// publications to the next, in the order in which its engine is given them. Counter
	// is 0 where there is no other node.
	Origin, Counter uint64

	ID   string // unique, and at most MaxID bytes; empty: none
	User string // who publishes it, at most MaxID bytes; empty: nobody that is known

	// Epoch and Offset are its position in the history of its topic: 0 and 0 for none.
	Epoch, Offset uint64

	// At is when it was published, to the millisecond, as history has it; zero: not known.
	At time.Time

	// Once has a publication left out where one with the same number was delivered on the
	// topic not long before, so that who repeats one after an error does no harm: see the
	// function. 0: none.
	Once uint64

	// Text is what sessions are sent, and what engines carry.
	Text []byte

	// Payload is what Text encodes; or nil. Who publishes leaves out Text where it has a
	// Payload: that is encoded when somebody asks for the text. Of what has come from
	// another node there is Text only, until a subscriber that decodes it sets Payload
	// for those who get it next.
	Payload Payload

	prepared *session.Prepared
	watch    session.Stopwatch
}

// A Payload is a message in the form that its subscribers on this node take.
type Payload interface {
	// Append appends the text that stands for it. It is called with no lock held, and
	// keeps nothing of dst.
	Append(dst []byte) []byte

	// Size is about the number of bytes that Append appends.
	Size() int
}

// MaxID is how many bytes the ID of a Publication may have, and its User.
const MaxID = 255

var errLong = fmt.Errorf("handler: the ID and the user of a publication have at most %d bytes each", MaxID)

func (p *Publication) size() int {
	if p.Text == nil && p.Payload != nil {
		return p.Payload.Size()
	}
	return len(p.Text)
}

func (p *Publication) appendText(dst []byte) []byte {
	if p.Text == nil && p.Payload != nil {
		return p.Payload.Append(dst)
	}
	return append(dst, p.Text...)
}

// Clone returns a copy that may be kept. Of a Payload it has the text.
func (p *Publication) Clone() *Publication {
	return &Publication{
		Origin: p.Origin, Counter: p.Counter, ID: strings.Clone(p.ID), User: strings.Clone(p.User),
		Epoch: p.Epoch, Offset: p.Offset, At: p.At, Text: p.appendText(nil),
	}
}

// Sending says that s is about to be sent p, whose delivery may be timed: see
// session.Stats. It is for subscribers that send in a form of their own.
func (p *Publication) Sending(s session.Session) { p.watch.Sending(s) }

// prepare returns the text for sessions, encoded once for all of them.
func (p *Publication) prepare() *session.Prepared {
	if p.prepared == nil {
		text := p.Text
		if text == nil {
			text = p.appendText(nil)
		}
		p.prepared = session.Prepare(text)
	}
	return p.prepared
}

// Between nodes a publication is a header and its text. Numbers have eight bytes, the
// most significant first:
//
//	version   1 byte
//	flags     1 byte: which of the optional parts there are
//	origin
//	counter
//	id        1 byte for its length, and so many bytes; with flagID
//	epoch     with flagPosition
//	offset    with flagPosition
//	user      as id; with flagUser
//	at        milliseconds since 1970, in UTC; with flagAt
//	once      with flagOnce
//
// A part that is new takes a flag, and a header that has one that is not known is not read:
// its text begins nobody knows where.
const (
	version = 1

	flagID       = 1 << 0
	flagPosition = 1 << 1
	flagUser     = 1 << 2
	flagAt       = 1 << 3
	flagOnce     = 1 << 4
	flags        = flagID | flagPosition | flagUser | flagAt | flagOnce

	counterAt = 10 // bytes before the counter
)

// append appends the publication as nodes send it. Neither ID nor User is over MaxID.
func (p *Publication) append(dst []byte) []byte {
	var has byte
	if p.ID != "" {
		has |= flagID
	}
	if p.Epoch != 0 || p.Offset != 0 {
		has |= flagPosition
	}
	if p.User != "" {
		has |= flagUser
	}
	if !p.At.IsZero() {
		has |= flagAt
	}
	if p.Once != 0 {
		has |= flagOnce
	}
	dst = append(dst, version, has)
	dst = binary.BigEndian.AppendUint64(dst, p.Origin)
	dst = binary.BigEndian.AppendUint64(dst, p.Counter)
	if has&flagID != 0 {
		dst = appendShort(dst, p.ID)
	}
	if has&flagPosition != 0 {
		dst = binary.BigEndian.AppendUint64(dst, p.Epoch)
		dst = binary.BigEndian.AppendUint64(dst, p.Offset)
	}
	if has&flagUser != 0 {
		dst = appendShort(dst, p.User)
	}
	if has&flagAt != 0 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(p.At.UnixMilli()))
	}
	if has&flagOnce != 0 {
		dst = binary.BigEndian.AppendUint64(dst, p.Once)
	}
	return p.appendText(dst)
}

func appendShort(dst []byte, text string) []byte {
	return append(append(dst, byte(len(text))), text...)
}

var errShort = errors.New("handler: a publication is cut short")

// decodePublication returns what append has appended. Its text is a part of data.
func decodePublication(data []byte) (*Publication, error) {
	if len(data) < 2 {
		return nil, errShort
	}
	has := data[1]
	if data[0] != version || has&^flags != 0 {
		return nil, fmt.Errorf("handler: a publication of version %d with flags %#x is not known", data[0], has)
	}
	rest, short := data[2:], false
	take := func(n int) []byte {
		if n > len(rest) {
			short = true
			return make([]byte, n)
		}
		front := rest[:n]
		rest = rest[n:]
		return front
	}
	number := func() uint64 { return binary.BigEndian.Uint64(take(8)) }
	p := &Publication{Origin: number(), Counter: number()}
	if has&flagID != 0 {
		p.ID = string(take(int(take(1)[0])))
	}
	if has&flagPosition != 0 {
		p.Epoch, p.Offset = number(), number()
	}
	if has&flagUser != 0 {
		p.User = string(take(int(take(1)[0])))
	}
	if has&flagAt != 0 {
		p.At = time.UnixMilli(int64(number())).UTC()
	}
	if has&flagOnce != 0 {
		p.Once = number()
	}
	if short {
		return nil, errShort
	}
	p.Text = rest
	return p, nil
}
