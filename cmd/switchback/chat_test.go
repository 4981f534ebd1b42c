package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"switchback/transport/client"
)

// A chatter is a client of a chat.
type chatter struct {
	*testing.T
	conn  *client.Conn
	texts chan string // closed at the end
}

func chatWith(t *testing.T, url, transport string) *chatter {
	t.Helper()
	conn, err := client.Dial(t.Context(), url, client.Options{Transports: []string{transport}})
	if err != nil {
		t.Fatalf("%s: %v", transport, err)
	}
	c := &chatter{t, conn, make(chan string, 100)}
	var reading sync.WaitGroup
	reading.Go(func() { // ends with the connection: who polls has to, all the time
		defer close(c.texts)
		for {
			text, err := conn.Recv(context.Background())
			if err != nil {
				return
			}
			c.texts <- string(text)
		}
	})
	t.Cleanup(func() { conn.Close(); reading.Wait() })
	return c
}

// says sends a request; ' stands for ".
func (c *chatter) says(request string) {
	c.Helper()
	if err := c.conn.Send([]byte(strings.ReplaceAll(request, "'", `"`))); err != nil {
		c.Fatal(err)
	}
}

// gets waits for a reply that has all of the parts, past others, and returns it.
func (c *chatter) gets(parts ...string) string {
	c.Helper()
	var past []string
	late := time.After(patience)
	for {
		var text string
		var open bool
		select {
		case text, open = <-c.texts:
		case <-late:
		}
		if !open {
			c.Fatalf("waiting for %q, after %q", parts, past)
		}
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, strings.ReplaceAll(part, "'", `"`)) }) {
			return text
		}
		past = append(past, text)
	}
}

// offset is that of a reply.
func offset(reply string) string {
	_, rest, _ := strings.Cut(reply, `"offset":"`)
	offset, _, _ := strings.Cut(rest, `"`)
	return offset
}

// Over every transport: what one says both sides' every session gets; who is absent finds it
// with its count, reads it, and it falls for all of their sessions.
func TestChatOverTransports(t *testing.T) {
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", "../../testdata/apps/chat.yaml")
	p.logs("anybody may be anybody")
	p.logs("what is kept is kept in memory")
	for i, transport := range []string{"websocket", "xhr-streaming", "eventsource", "xhr-polling", "raw-websocket"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			kim, lee := fmt.Sprintf("kim%d", i), fmt.Sprintf("lee%d", i)
			room := "@" + kim + "," + lee
			as := func(user string) *chatter { return chatWith(t, p.url+"chat?user="+user, transport) }
			one, other, away := as(kim), as(kim), as(lee)
			for _, c := range []*chatter{one, other, away} {
				c.gets(`{'type':'welcome','user':'`, `'rooms':[]`)
			}
			one.says(`{'type':'create','members':['` + lee + `']}`)
			one.gets(`{'type':'created','room':'` + room + `'}`)
			for _, c := range []*chatter{one, other, away} {
				c.says(`{'type':'join','room':'` + room + `'}`)
				c.gets(`'joined'`, `'messages':[]`)
			}
			one.says(`{'type':'message','room':'` + room + `','id':'1','text':'hello'}`)
			for _, c := range []*chatter{one, other, away} {
				c.gets(`'message'`, `'user':'`+kim+`','id':'1','text':'hello'`)
			}
			one.gets(`'ack'`, `'id':'1'`)
			away.conn.Close()
			other.gets(`{'type':'presence','room':'` + room + `','user':'` + lee + `','online':false}`)
			one.says(`{'type':'message','room':'` + room + `','id':'2','text':'are you there?'}`)
			last := offset(one.gets(`'ack'`, `'id':'2'`))
			back, two := as(lee), as(lee)
			for _, c := range []*chatter{back, two} {
				c.gets(`'welcome'`, `'rooms':[{'room':'`+room+`','unread':2}]`)
			}
			back.says(`{'type':'join','room':'` + room + `'}`)
			back.gets(`'joined'`, `'text':'are you there?'}]`)
			back.says(`{'type':'read','room':'` + room + `','offset':'` + last + `'}`)
			for _, c := range []*chatter{back, two} {
				c.gets(`{'type':'unread','room':'` + room + `','count':0}`)
			}
		})
	}
}

// The page of the seeds, over every transport: what one sends the others get, as it is.
func TestTextsOverTransports(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", writeFile(t, "conf.yaml", "endpoints: [{path: /echo, handler: chat, chat: {protocol: text, history_last: 1}}]"))
	a := chatWith(t, p.url+"echo", "websocket")
	for _, transport := range []string{"websocket", "xhr-streaming", "eventsource", "xhr-polling", "raw-websocket"} {
		a.says("msg:before " + transport)
		witness := chatWith(t, p.url+"echo", "websocket") // has it: so it is stored
		witness.gets("msg:before " + transport)
		b := chatWith(t, p.url+"echo", transport)
		b.gets("msg:before " + transport)
		b.says("msg:<b>hello</b> " + transport)
		if got := a.gets(""); got != "msg:<b>hello</b> "+transport {
			t.Errorf("%s: got %q", transport, got)
		}
		a.says("msg:bye")
		if got := b.gets(""); got != "msg:bye" {
			t.Errorf("%s: got %q", transport, got)
		}
		witness.conn.Close()
		b.conn.Close()
	}
}

// What is acknowledged outlives the process, whatever ends it.
func TestChatOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "conf.yaml", "endpoints: [{path: /chat, handler: chat}]")
	serve := func() *process {
		t.Helper()
		cmd := command("serve", "--addr", "127.0.0.1:0", "--config", file)
		cmd.Env = append(cmd.Env, "SWITCHBACK_HISTORY=sqlite:"+filepath.Join(filepath.Dir(file), "chat.db"))
		return startCommand(t, cmd)
	}
	p := serve()
	kim := chatWith(t, p.url+"chat?user=kim", "websocket")
	kim.says(`{'type':'create','room':'r','members':['lee']}`)
	kim.says(`{'type':'message','room':'r','id':'1','text':'hello'}`)
	at := offset(kim.gets(`'ack'`))
	p.cmd.Process.Kill()
	p.wait()
	p = serve()
	lee := chatWith(t, p.url+"chat?user=lee", "xhr-polling")
	lee.gets(`'welcome'`, `'rooms':[{'room':'r','unread':1}]`)
	kim = chatWith(t, p.url+"chat?user=kim", "websocket")
	kim.says(`{'type':'message','room':'r','id':'1','text':'hello'}`)
	if again := offset(kim.gets(`'ack'`)); again != at {
		t.Errorf("acknowledged as %s, and then as %s", at, again)
	}
	kim.says(`{'type':'join','room':'r','since':'` + at + `'}`)
	kim.gets(`'joined'`, `'offset':'`+at+`'`, `'messages':[]`)
}

func TestChatThatCannotBe(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands")
	}
	t.Parallel()
	for text, want := range map[string]string{
		"endpoints: [{path: /chat, handler: chat, implementation: igm}]":                                  "implementation igm does not know its users",
		"endpoints: [{path: /chat, handler: chat, chat: {name_limit: 250}}]":                              "NameLimit and IdentifierLimit are 250 and 64; together they must be at most 254",
		"endpoints: [{path: /a/b, handler: chat}, {path: /a, handler: chat}]":                             "the path /a and that of the chat /a/b are one below the other",
		"endpoints: [{path: /topic, handler: chat}, {path: /s, handler: stomp}]":                          "endpoints[0]: the rooms at /topic are destinations of STOMP, too",
		"page: false\nendpoints: [{path: /, handler: chat}, {path: /s, handler: stomp}]":                  "the rooms at / are destinations of STOMP, too",
		"stomp: {topics: [/a/b]}\nendpoints: [{path: /a, handler: chat}, {path: /s, handler: stomp}]":     "the rooms at /a are destinations of STOMP, too",
		"stomp: {topics: [/]}\nendpoints: [{path: /chat, handler: chat}, {path: /s, handler: stomp}]":     "the rooms at /chat are destinations of STOMP, too",
		"endpoints: [{path: /s, handler: stomp}, {path: /queues, handler: chat, chat: {protocol: text}}]": "the rooms at /queues are destinations of STOMP, too",
		"endpoints: [{path: /chat, handler: chat}, {path: /chat/x, handler: broadcast}]":                  "endpoints[1]: the path /chat/x is that of a room of the chat /chat, too",
		"endpoints: [{path: /chat, handler: chat, auth: required}]":                                       "nothing says whose tokens are accepted",
		"endpoints: [{path: /chat, handler: broadcast, chat: {protocol: text}}]":                          "endpoints[0].chat is of the handler chat, and not of broadcast",
	} {
		if status, _, stderr := finish(t, "serve", "--addr", "127.0.0.1:0", "--config", writeFile(t, "conf.yaml", text)); status != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d %s", text, status, stderr)
		}
	}
	for _, text := range []string{"stomp: {separator: .}\nendpoints: [{path: /chat, handler: chat}]", "endpoints: [{path: /, handler: chat}]\npage: false", "endpoints: [{path: /topic, handler: chat}, {path: /topic/x/y, handler: broadcast}]"} {
		if status, _, stderr := finish(t, "config", "check", writeFile(t, "conf.yaml", text)); status != 0 {
			t.Errorf("%s: %d %s", text, status, stderr)
		}
	}
}
