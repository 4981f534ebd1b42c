package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"switchback/handler/history"
)

// Compare does to two stores, which are empty, what a script says, and fails the test where
// they answer differently. Any bytes are a script.
func Compare(t *testing.T, script []byte, got, want history.Store) {
	a, b := transcript(t, script, got), transcript(t, script, want)
	for i := range b {
		if a[i] != b[i] {
			t.Fatalf("after %s\nstep %d is\n%s, not\n%s", b[max(i-5, 0):i], i, a[i], b[i])
		}
	}
}

// transcript is what a store answers to each step of a script.
func transcript(t *testing.T, script []byte, s history.Store) []string {
	p := &player{t: t, s: s, script: script, epochs: make(map[uint64]int)}
	for len(p.script) > 0 {
		p.line(p.step())
		p.n++
	}
	for _, name := range names {
		p.line(p.read(name, history.Range{Limit: 1000}))
		p.line(p.topic(s.Topic(t.Context(), name)))
	}
	return p.lines
}

// A player plays a script on one store.
type player struct {
	t      *testing.T
	s      history.Store
	script []byte
	n      int            // steps so far
	epochs map[uint64]int // in the order in which they are seen
	lines  []string
}

func (p *player) line(line string) { p.lines = append(p.lines, line) }

// next is a number below n.
func (p *player) next(n int) int {
	if len(p.script) == 0 {
		return 0
	}
	b := int(p.script[0])
	p.script = p.script[1:]
	return b % n
}

// Few names, so that steps meet.
func (p *player) topicName() string { return names[p.next(5)] }
func (p *player) user() string      { return names[p.next(4)] }

func (p *player) step() string {
	ctx, s, topic := p.t.Context(), p.s, p.topicName()
	switch p.next(16) {
	case 0, 1, 2, 3:
		return p.append()
	case 4:
		return "open " + p.topic(s.Open(ctx, topic, p.next(2) == 0))
	case 5:
		return "renew " + p.topic(s.Renew(ctx, topic))
	case 6:
		topics, err := s.Topics(ctx, []string{"", topic}[p.next(2)], p.next(8)-1)
		line := "topics"
		for _, topic := range topics {
			line += " " + p.topic(topic, nil)
		}
		return line + told(err)
	case 7, 8:
		return p.read(topic, history.Range{
			After: uint64(p.next(20)), Before: uint64(p.next(30)), Newest: p.next(2) == 0,
			Limit: p.next(12) - 1, Bytes: int64(p.next(10)),
		})
	case 9:
		keep := history.Keep{Count: p.next(20), Age: time.Duration(p.next(40)) * time.Second, Bytes: int64(p.next(40))}
		return "trim " + p.topic(s.Trim(ctx, topic, keep, after(p.n)))
	case 10:
		if p.next(4) == 0 {
			return "remove" + told(s.Remove(ctx, topic))
		}
		return "settle" + told(s.Settle(ctx))
	case 11:
		read, err := s.MarkRead(ctx, topic, p.user(), uint64(p.next(30)))
		return fmt.Sprint("mark read ", read, told(err))
	case 12:
		unread, err := s.Unread(ctx, p.user(), []string{topic, p.topicName(), "none"}, p.next(12)-1)
		return fmt.Sprintf("unread %+v%s", unread, told(err))
	case 13:
		room := history.Room{Topic: topic, Attributes: []byte{byte(p.n)}}
		for range p.next(3) {
			room.Members = append(room.Members, p.user())
		}
		return "make room" + told(s.MakeRoom(ctx, room))
	case 14:
		if p.next(3) == 0 {
			return "remove member" + told(s.RemoveMember(ctx, topic, p.user()))
		}
		return "add member" + told(s.AddMember(ctx, topic, p.user(), 3))
	default:
		rooms, err := s.RoomsOf(ctx, p.user(), p.topicName(), p.next(6)-1)
		room, roomErr := s.Room(ctx, topic)
		return fmt.Sprintf("rooms %q%s, room %q%s", rooms, told(err), room, told(roomErr))
	}
}

func (p *player) append() string {
	var batch []*history.Append
	for i := range 1 + p.next(6) {
		a := &history.Append{Topic: p.topicName(), Entry: history.Entry{
			At:   after(p.n),
			User: []string{"", names[0], names[1]}[p.next(3)],
			Data: bytes.Repeat([]byte{byte(p.n), byte(i)}, p.next(4)),
		}}
		if id := p.next(12); id < 8 {
			a.Entry.ID = names[id]
		}
		if p.next(8) == 0 {
			a.Entry.Offset = uint64(p.next(40))
		}
		batch = append(batch, a)
	}
	line := "append" + told(p.s.Append(p.t.Context(), batch))
	for _, a := range batch {
		line += fmt.Sprint(" ", a.Entry.Offset, a.Entry.At.UnixMilli(), a.Duplicate, p.epoch(a.Epoch))
	}
	return line
}

func (p *player) read(topic string, r history.Range) string {
	entries, err := p.s.Read(p.t.Context(), topic, r)
	line := "read" + told(err)
	for _, e := range entries {
		line += fmt.Sprintf(" %d %d %q %q %q", e.Offset, e.At.UnixMilli(), e.ID, e.User, e.Data)
	}
	return line
}

func (p *player) topic(t history.Topic, err error) string {
	return fmt.Sprintf("%q epoch %d, %d to %d, %d of %d bytes%s", t.Name, p.epoch(t.Epoch), t.First, t.Last, t.Count, t.Bytes, told(err))
}

// epoch is the number of an epoch, which each store has its own of; that of none is 0.
func (p *player) epoch(epoch uint64) int {
	if _, seen := p.epochs[epoch]; !seen && epoch != 0 {
		p.epochs[epoch] = len(p.epochs) + 1
	}
	return p.epochs[epoch]
}

// told is which error of the contract one is.
func told(err error) string {
	known := []error{nil, history.ErrNoTopic, history.ErrExists, history.ErrOffset, history.ErrName, history.ErrMembers}
	i := slices.IndexFunc(known, func(one error) bool { return errors.Is(err, one) })
	if i < 0 {
		return fmt.Sprintf(" an unexpected error: %v", err)
	}
	return fmt.Sprintf(" (%v)", known[i])
}

// Script is an arbitrary script, another for each seed.
func Script(seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	script := make([]byte, 2500)
	for i := range script {
		script[i] = byte(random.Uint32())
	}
	return script
}
