package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"switchback/handler/engine/enginetest"
)

// The chat in a headless Chromium.

var chatConfig = filepath.Join("..", "..", "testdata", "apps", "chat.yaml")

func TestChatPageOfTwoUsers(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", chatConfig)
	for _, transport := range []string{"websocket", "xhr-polling"} {
		t.Run(transport, func(t *testing.T) {
			room := "room of " + transport
			kim := enterChat(t, browser, p.url, "kim", transport, room)
			lee := enterChat(t, browser, p.url, "lee", transport, room)
			kim.sees("users", "kim", "lee")
			lee.sees("users", "kim", "lee")
			kim.shows("transport-used", transport)

			const markup = `<b>bold</b> <script>alert(1)</script> <img src=x onerror=alert(1)> &amp; 한 😀`
			kim.says(markup)
			kim.has(markup)
			lee.has(markup)
			lee.types("I am")
			kim.told("lee is typing")
			lee.says(" here")
			kim.has("I am here")
			kim.tells("typing", "")

			lee.goTo("") // and is there still, but does not see it
			kim.says("Are you?")
			lee.counts(room, 1)
			lee.close()
			kim.sees("users", "kim")
			kim.says("Later, then")

			one := enterChat(t, browser, p.url, "lee", transport, "")
			two := enterChat(t, browser, p.url, "lee", transport, "")
			one.counts(room, 2)
			two.counts(room, 2)
			one.goTo(room)
			one.has("Later, then")
			one.counts(room, 0)
			two.counts(room, 0)
			want := []string{markup, "I am here", "Are you?", "Later, then"}
			if got := one.said(); !slices.Equal(got, want) {
				t.Errorf("lee finds %q, want %q", got, want)
			}

			kim.do("talk with lee alone", chromedp.Click(chromedp.ID("here")), chromedp.Click(chromedp.CSS("#users button")))
			kim.tells("title", "lee")
			kim.says("between us")
			two.counts("kim", 1)
			one.goTo("@kim,lee")
			one.has("between us")
			two.counts("kim", 0)
			for _, c := range []*chatPage{kim, one, two} {
				c.quiet()
			}
		})
	}
}

func TestChatPageScrollsBackToTheFirstMessage(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", chatConfig)
	mo := chatWith(t, p.url+"chat?user=mo", "websocket")
	mo.says(`{'type':'join','room':'r'}`)
	var want []string
	for i := range 170 {
		want = append(want, fmt.Sprintf("message %d", i))
		mo.says(fmt.Sprintf(`{'type':'message','room':'r','id':'%d','text':'message %d'}`, i, i))
		mo.gets("'ack'", fmt.Sprintf("'id':'%d'", i))
	}
	kim := enterChat(t, browser, p.url, "kim", "websocket", "r")
	kim.has("message 169")
	if n := len(kim.said()); n >= len(want) {
		t.Errorf("%d messages are there before anybody scrolls", n)
	}
	const scroll = `(() => {
		document.getElementById("view").scrollTop = -1e6;
		return document.querySelector(".start").textContent === "This is where the room begins.";
	})()`
	kim.do("scroll back", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Poll[bool](scroll)(ctx, t)
		return chromedp.Void{}, err
	})
	if got := kim.said(); !slices.Equal(got, want) {
		t.Errorf("%d messages: %q", len(got), got)
	}
	kim.quiet()
}

// The server is killed while two people talk, with what they say on its way.
func TestChatPageLosesNothing(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	database := "SWITCHBACK_HISTORY=sqlite:" + filepath.Join(t.TempDir(), "chat.db")
	addr := enginetest.FreeAddress(t)
	serve := func() *process {
		t.Helper()
		cmd := command("serve", "--addr", addr, "--config", chatConfig)
		cmd.Env = append(cmd.Env, database)
		return startCommand(t, cmd)
	}
	p := serve()
	kim := enterChat(t, browser, p.url, "kim", "websocket", "r")
	lee := enterChat(t, browser, p.url, "lee", "xhr-polling", "r")
	kim.sees("users", "kim", "lee")
	var want []string
	for i := range 2 {
		texts := []string{"before", "on its way", "while it is away"}
		for j := range texts {
			texts[j] = fmt.Sprintf("%s, %d", texts[j], i)
		}
		kim.says(texts[0])
		lee.has(texts[0])
		kim.says(texts[1])
		p.cmd.Process.Kill()
		p.wait()
		kim.tells("status", "Offline")
		lee.says(texts[2])
		p = serve()
		for _, text := range texts {
			kim.has(text)
			lee.has(text)
		}
		want = append(want, texts...)
	}
	kim.sees("users", "kim", "lee")
	kim.do("wait for what is sent", chromedp.WaitNotPresent(chromedp.CSS(`.message:not([data-state="stored"])`)))
	got := kim.said()
	if others := lee.said(); !slices.Equal(got, others) {
		t.Errorf("kim has %q, lee %q", got, others)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("there is %q, want %q", got, want)
	}
}

// By the keyboard alone, in a window as narrow as a phone's.
func TestChatPageAsksForANameAndKeepsIt(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", chatConfig)
	kim := &chatPage{openPage(t, browser, p.url+"chat.html")}
	kim.do("enter", chromedp.EmulateViewport(390, 844), chromedp.WaitEnabled(chromedp.CSS("#enter button")),
		chromedp.KeyEvent("kim\r"), chromedp.WaitVisible(chromedp.ID("chat")))
	kim.tells("title", "lobby") // of whoever has no room yet
	kim.do("write", chromedp.WaitVisible(chromedp.ID("here")), chromedp.Focus(chromedp.ID("text")), chromedp.KeyEvent("by keyboard\r"))
	kim.has("by keyboard")
	kim.do("load again", chromedp.Reload())
	kim.has("by keyboard")
	kim.goTo("")
	kim.tells("me", "kim")
	if wide, err := chromedp.Run(kim.ctx, chromedp.Evaluate[int]("document.documentElement.scrollWidth")); err != nil || wide > 390 {
		t.Errorf("the page is %d wide: %v", wide, err)
	}
	kim.quiet()
}

// talkPage is what a page of a chat of two does on a server that only passes texts on.
const talkPage = `<!DOCTYPE html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<script src="/sockjs.min.js"></script>
<ul id="texts"></ul>
<input id="text"><button id="send">Send</button><p id="state"></p>
<script>
function append(text) {
  const line = document.createElement("li");
  line.textContent = text;
  document.getElementById("texts").append(line);
}
const sock = new SockJS("/echo", null, { transports: ["websocket", "xhr-streaming", "xhr-polling"], timeout: 60000 });
sock.onopen = () => document.getElementById("state").textContent = "open over " + sock.transport;
sock.onmessage = e => append(e.data);
sock.onclose = () => document.getElementById("state").textContent = "closed";
document.getElementById("send").onclick = () => sock.send("msg:" + document.getElementById("text").value);
</script>`

// A page that knows nothing of rooms and history is served as it is, by YAML alone: each
// window hears what the others say, and one that comes later what was said last.
func TestPageOfPlainTexts(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	for _, c := range []struct{ transport, disabled string }{
		{"websocket", ""},
		{"xhr-streaming", "websocket"},
		{"xhr-polling", "websocket, xhr-streaming, eventsource, htmlfile"},
	} {
		t.Run(c.transport, func(t *testing.T) {
			file := writeFile(t, "conf.yaml", `
page: true # it has the client
static: {path: /blog, dir: .}
endpoints:
  - {path: /echo, handler: chat, chat: {protocol: text, history_last: 3}, disabled_transports: [`+c.disabled+`]}
`)
			if err := os.WriteFile(filepath.Join(filepath.Dir(file), "talk.html"), []byte(talkPage), 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", file)
			window := func() *chatPage {
				w := &chatPage{openPage(t, browser, p.url+"blog/talk.html")}
				w.tells("state", "open over "+c.transport)
				return w
			}
			says := func(w *chatPage, text string) {
				w.do("say "+text, chromedp.SetValue(chromedp.ID("text"), text), chromedp.Click(chromedp.ID("send")))
			}
			one, two := window(), window()
			const markup = `<b>bold</b> &amp; "한" 😀`
			says(one, "from one")
			two.lists("msg:from one")
			says(two, markup)
			one.lists("msg:" + markup)
			says(one, "kim here")
			says(one, "Are you there?")
			two.lists("msg:from one", "msg:kim here", "msg:Are you there?")
			late := window()
			late.lists("msg:"+markup, "msg:kim here", "msg:Are you there?")
			says(late, "I am")
			one.lists("msg:"+markup, "msg:I am")
			two.lists("msg:from one", "msg:kim here", "msg:Are you there?", "msg:I am")
			late.lists("msg:"+markup, "msg:kim here", "msg:Are you there?")
			one.do("load again", chromedp.Reload())
			one.lists("msg:kim here", "msg:Are you there?", "msg:I am")
			for _, w := range []*chatPage{one, two, late} {
				for _, complaint := range w.complaints() {
					if c.disabled == "" || !strings.Contains(complaint, "404") {
						t.Errorf("the console says: %s", complaint)
					}
				}
			}
		})
	}
}

// lists waits until the page of plain texts has these, and no others.
func (c *chatPage) lists(texts ...string) {
	c.t.Helper()
	path := fmt.Sprintf(`//*[@id="texts"][count(li)=%d]`, len(texts))
	for i, text := range texts {
		path += fmt.Sprintf(`[li[%d][.=%s]]`, i+1, literal(text))
	}
	c.do(fmt.Sprintf("wait for %q", texts), chromedp.WaitReady(chromedp.Search(path)))
}

// A chatPage is the chat in a tab of its own.
type chatPage struct{ *page }

// enterChat opens a chat as a user who is in a room, or in none.
func enterChat(t *testing.T, browser context.Context, base, user, transport, room string) *chatPage {
	t.Helper()
	address := base + "chat.html?" + url.Values{"user": {user}, "transport": {transport}}.Encode()
	if room != "" {
		address += "#" + url.Values{"room": {room}}.Encode()
	}
	c := &chatPage{openPage(t, browser, address)}
	c.tells("status", "Online")
	c.do("note who types", chromedp.Evaluate[chromedp.Void](`window.typed = [];
		new MutationObserver(() => typed.push(document.getElementById("typing").textContent))
			.observe(document.getElementById("typing"), { childList: true, characterData: true, subtree: true });`))
	return c
}

// goTo shows a room, or none.
func (c *chatPage) goTo(room string) {
	c.t.Helper()
	hash, err := json.Marshal("#" + url.Values{"room": {room}}.Encode())
	if err != nil {
		c.t.Fatal(err)
	}
	c.do("go to "+room, chromedp.Evaluate[chromedp.Void](`location.hash = `+string(hash)))
}

func (c *chatPage) close() {
	c.t.Helper()
	c.do("leave the page", chromedp.Navigate("about:blank"))
}

func (c *chatPage) types(text string) {
	c.t.Helper()
	c.do("type", chromedp.SendKeys(chromedp.ID("text"), text))
}

func (c *chatPage) says(text string) {
	c.t.Helper()
	c.types(text)
	c.do("send", chromedp.KeyEvent("\r"))
}

// has waits for a message.
func (c *chatPage) has(text string) {
	c.t.Helper()
	c.do("wait for "+text, chromedp.WaitReady(chromedp.Search(`//*[@id="messages"]//span[@class="text"][.=`+literal(text)+`]`)))
}

// said is the messages that the page shows.
func (c *chatPage) said() []string {
	c.t.Helper()
	texts, err := chromedp.Run(c.ctx, chromedp.Evaluate[[]string](`Array.from(document.querySelectorAll("#messages .text"), (e) => e.textContent)`))
	if err != nil {
		c.t.Fatal(err)
	}
	return texts
}

// sees waits until these users are in the list, and no others.
func (c *chatPage) sees(list string, users ...string) {
	c.t.Helper()
	path := fmt.Sprintf(`//*[@id=%q][count(li)=%d]`, list, len(users))
	for _, user := range users {
		path += `[li//span[@class="name"][.=` + literal(user) + `]]`
	}
	c.do("wait for "+strings.Join(users, " and "), chromedp.WaitReady(chromedp.Search(path)))
}

// tells waits until an element has a text.
func (c *chatPage) tells(id, text string) {
	c.t.Helper()
	c.do("wait for "+id+" to be "+text, chromedp.WaitReady(chromedp.Search(fmt.Sprintf(`//*[@id=%q][.=%s]`, id, literal(text)))))
}

// told waits until the page has told that somebody types, which it does not for long.
func (c *chatPage) told(text string) {
	c.t.Helper()
	c.poll(fmt.Sprintf(`typed.includes(%q) ? "told" : null`, text))
}

// counts waits until so many messages of a room are unread.
func (c *chatPage) counts(room string, unread int) {
	c.t.Helper()
	badge := "@hidden"
	if unread > 0 {
		badge = fmt.Sprintf(`not(@hidden) and .="%d"`, unread)
	}
	c.do(fmt.Sprintf("wait for %d unread", unread), chromedp.WaitReady(chromedp.Search(
		`//*[@id="rooms"]//a[span[@class="name"][.=`+literal(room)+`]]/span[@class="badge"][`+badge+`]`)))
}
