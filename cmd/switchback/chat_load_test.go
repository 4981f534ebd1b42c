package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"switchback/transport/client"
)

// A roomer is a user in a room, who says something now and then, and comes back with what it
// has when it is cut off.
type roomer struct {
	user, room, transport, url string

	mu     sync.Mutex // guards the rest
	conn   *client.Conn
	joined bool     // conn has
	unsaid []string // requests that are not acknowledged, in order
	said   int
	acks   map[string]string // offsets by id
	heard  []string          // offset, user and id of each message
	last   string            // position
	wrong  error
}

// A said is what the test reads of replies.
type said struct {
	Type, Offset, User, ID, Code string
	Gap                          bool
	Messages                     []said
}

// run keeps the user in the room until ctx ends.
func (r *roomer) run(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := client.Dial(ctx, r.url, client.Options{Transports: []string{r.transport}, OpenTimeout: time.Second})
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		r.mu.Lock()
		join := fmt.Sprintf(`{"type":"join","room":%q,"limit":0}`, r.room)
		if r.last != "" {
			join = fmt.Sprintf(`{"type":"join","room":%q,"since":%q}`, r.room, r.last)
		}
		r.conn, r.joined = conn, false
		r.mu.Unlock()
		conn.Send([]byte(join))
		for {
			text, err := conn.Recv(ctx)
			if err != nil {
				break
			}
			r.take(text)
		}
		conn.Close()
	}
}

func (r *roomer) take(text []byte) {
	var m said
	err := json.Unmarshal(text, &m)
	r.mu.Lock()
	defer r.mu.Unlock()
	fail := func(format string, args ...any) {
		if r.wrong == nil {
			r.wrong = fmt.Errorf(format, args...)
		}
	}
	switch {
	case err != nil || m.Gap:
		fail("got %s, %v", text, err)
	case m.Type == "joined":
		for _, one := range m.Messages {
			r.hear(one, fail)
		}
		if r.last = m.Offset; !r.joined {
			r.joined = true
			for _, request := range r.unsaid {
				r.conn.Send([]byte(request))
			}
		}
	case m.Type == "message":
		r.hear(m, fail)
	case m.Type == "ack":
		r.acks[m.ID] = m.Offset
		r.unsaid = slices.DeleteFunc(r.unsaid, func(request string) bool { return strings.Contains(request, `"id":"`+m.ID+`"`) })
	case m.Type == "error" && m.Code == "unavailable" && m.ID != "":
		for _, request := range r.unsaid {
			if strings.Contains(request, `"id":"`+m.ID+`"`) {
				r.conn.Send([]byte(request))
			}
		}
	case m.Type == "error":
		fail("got %s", text)
	}
}

// hear takes a message, which has to be the next.
func (r *roomer) hear(m said, fail func(string, ...any)) {
	_, offset, _ := strings.Cut(m.Offset, "/")
	if offset != strconv.Itoa(len(r.heard)+1) {
		fail("%s: offset %s comes after %d messages", r.user, m.Offset, len(r.heard))
	}
	r.heard = append(r.heard, m.Offset+" "+m.User+" "+m.ID)
	r.last = m.Offset
}

// say says the next.
func (r *roomer) say() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said++
	request := fmt.Sprintf(`{"type":"message","room":%q,"id":"%d","text":"the text of a message, as people write them"}`, r.room, r.said)
	r.unsaid = append(r.unsaid, request)
	if r.joined {
		r.conn.Send([]byte(request))
	}
}

// state is how many messages the user has and has yet to have acknowledged, and what is wrong.
func (r *roomer) state() (joined bool, heard, unsaid int, wrong error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.joined, len(r.heard), len(r.unsaid), r.wrong
}

// Whatever ends the server while many talk: all that was acknowledged is there, and each
// client has each message of its room once, in one order.
func TestChatIsKilledUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a server under load: takes seconds")
	}
	clients, rooms, rate, kills, between := 50, 5, 250, 2, time.Second
	if soak {
		clients, rooms, rate, kills, between = 200, 20, 2000, 5, 5*time.Second
	}
	dir := t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	serve := func() *process {
		t.Helper()
		cmd := command("serve", "--addr", addr, "--config", "../../testdata/apps/chat.yaml")
		cmd.Env = append(cmd.Env, "SWITCHBACK_HISTORY=sqlite:"+filepath.Join(dir, "chat.db"))
		return startCommand(t, cmd)
	}
	p := serve()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	all := make([]*roomer, clients)
	for i := range all {
		user := fmt.Sprint("user", i)
		all[i] = &roomer{
			user: user, room: fmt.Sprint("room", i%rooms), transport: []string{"websocket", "xhr-streaming", "xhr-polling"}[i/rooms%3],
			url: p.url + "chat?user=" + user, acks: make(map[string]string),
		}
		running.Go(func() { all[i].run(ctx) })
	}
	// until waits until all clients are so.
	until := func(what string, is func(r *roomer) bool) {
		t.Helper()
		for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			i := slices.IndexFunc(all, func(r *roomer) bool { return !is(r) })
			if i < 0 {
				return
			}
			if joined, heard, unsaid, wrong := all[i].state(); time.Since(begun) > 2*patience || wrong != nil {
				t.Fatalf("%s: %s over %s: joined %v, heard %d, %d not acknowledged: %v", what, all[i].user, all[i].transport, joined, heard, unsaid, wrong)
			}
		}
	}
	until("join", func(r *roomer) bool { joined, _, _, _ := r.state(); return joined })

	talking, quiet := context.WithCancel(ctx)
	for room := range rooms {
		running.Go(func() {
			tick := time.NewTicker(time.Second * time.Duration(rooms) / time.Duration(rate))
			defer tick.Stop()
			for i := room; talking.Err() == nil; i += rooms {
				<-tick.C
				all[i%clients].say()
			}
		})
	}
	for range kills {
		time.Sleep(between)
		p.cmd.Process.Kill()
		p.wait()
		p = serve()
	}
	time.Sleep(between)
	quiet()
	until("acknowledged", func(r *roomer) bool { _, _, unsaid, wrong := r.state(); return unsaid == 0 && wrong == nil })
	most := make(map[string]int)
	for _, r := range all {
		_, heard, _, _ := r.state()
		most[r.room] = max(most[r.room], heard)
	}
	until("heard", func(r *roomer) bool { _, heard, _, wrong := r.state(); return heard == most[r.room] && wrong == nil })
	cancel()
	running.Wait()

	heard, acknowledged := make(map[string][]string), 0
	for _, r := range all {
		if heard[r.room] == nil {
			heard[r.room] = r.heard
		}
		if !slices.Equal(r.heard, heard[r.room]) {
			t.Errorf("%s and another have heard different things in %s", r.user, r.room)
		}
		own := 0
		for _, one := range r.heard {
			if f := strings.Fields(one); f[1] == r.user {
				if own++; r.acks[f[2]] != f[0] {
					t.Errorf("%s: %s is acknowledged as %q", r.user, one, r.acks[f[2]])
				}
			}
		}
		if own != r.said || len(r.acks) != r.said {
			t.Errorf("%s has said %d, %d of which are acknowledged and %d there", r.user, r.said, len(r.acks), own)
		}
		acknowledged += len(r.acks)
	}
	t.Logf("%d clients in %d rooms, %d messages, %d kills: all are there once, in one order", clients, rooms, acknowledged, kills)
}
