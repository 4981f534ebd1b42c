package chat

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchback/handler"
)

// A count begins with what the store has, and goes on with what comes live, whichever is
// heard of first.
func TestCountGoesOnFromTheStores(t *testing.T) {
	for _, c := range []struct {
		what  string
		steps string // a message of lee (l) or of kim herself (k) with its offset; what welcome said (w) or a session's reading (r) has: n/up to; e: another epoch
		told  string
	}{
		{"live after the store", "w1/3 l4 k5", "2"},
		{"own messages", "w0/0 k1 k2", ""},
		{"live what the store has counted", "w2/3 l2 l3 l4", "3"},
		{"live before the store answers", "l4 l5 w1/4", "2"},
		{"live before the store answers, all counted", "l4 l5 w2/5", ""},
		{"another epoch", "w0/0 l8 l9 e2 l1", "1 2 3"},
		{"twice", "w0/0 l1 l1 l2", "1 2"},
		{"reading", "w2/2 l3 r0/3", "3 0"},
		{"reading, and live what came after", "w2/2 l3 l4 l5 r0/3", "3 4 5 2"},
		{"reading, and live what it had counted", "w2/2 r0/3 l3 l4", "0 1"},
		{"reading, where nothing changes", "w0/0 r0/0", "0"},
		{"reading before the store has answered", "r1/5 w3/5 l6", "1 2"},
	} {
		in(t, Options{UnreadInterval: time.Millisecond}, func(w *world) {
			kim := w.comes("kim")
			client := kim.h.(*client)
			p := &place{c: client, name: "r"}
			p.counts()
			again := false
			for step := range strings.FieldsSeq(c.steps) {
				var n int
				var last uint64
				epoch := uint64(1)
				if again {
					epoch = 2
				}
				switch fmt.Sscanf(step[1:], "%d/%d", &n, &last); step[0] {
				case 'e':
					again = true
				case 'w':
					p.set(snapshot{n, last}, false)
				case 'r':
					p.set(snapshot{n, last}, true)
				case 'l':
					p.heard(&handler.Publication{Epoch: epoch, Offset: uint64(n), User: "lee"})
				case 'k':
					p.heard(&handler.Publication{Epoch: epoch, Offset: uint64(n), User: "kim"})
				}
				time.Sleep(time.Second)
			}
			p.uncount()
			var told []string
			for _, text := range kim.s.Texts()[1:] {
				told = append(told, strings.TrimSuffix(strings.TrimPrefix(text, `{"type":"unread","room":"r","count":`), "}"))
			}
			if got := strings.Join(told, " "); got != c.told {
				t.Errorf("%s: told %q, want %q", c.what, got, c.told)
			}
		})
	}
}

// A room that is new while a client is being welcomed is told of afterwards.
func TestWelcomeIsFirst(t *testing.T) {
	in(t, Options{}, func(w *world) {
		kim, lee := w.comes("kim"), w.stands("lee")
		goOn := make(chan struct{})
		w.store.mu.Lock()
		w.store.hold = goOn
		w.store.mu.Unlock()
		go lee.enters()
		synctest.Wait()
		kim.says(`{'type':'create','room':'r','members':['lee']}`, `{'type':'message','room':'r','id':'1','text':'x'}`)
		synctest.Wait()
		if got := lee.s.Texts(); len(got) > 0 {
			t.Errorf("before welcome: %q", got)
		}
		close(goOn)
		lee.gets(`{'type':'welcome','user':'lee','rooms':[]}`, `{'type':'unread','room':'r','count':1}`)
	})
}

// A message is encoded once, for whoever asks.
func TestMessageIsEncodedOnce(t *testing.T) {
	encoded := 0
	encode := func() []byte {
		encoded++
		return []byte("json")
	}
	p := &handler.Publication{Text: []byte("text")}
	if one, two := prepare(p, encode), prepare(p, encode); one != two || encoded != 1 || string(one.Text()) != "json" {
		t.Errorf("encoded %d times", encoded)
	}
	if got := string(p.Payload.Append(nil)); got != "text" || p.Payload.Size() != 4 {
		t.Errorf("to others it is %s", got)
	}
}
