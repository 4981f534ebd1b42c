package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"switchback/handler/history/postgrestest"
	"switchback/transport/client"
	admin "switchback/web/admin/client"
)

// What browsers have of three nodes behind a proxy: each client, on each of its transports, and
// users on different nodes.

// A generation is a sockjs-client, and the transports that it has in Chromium.
type generation struct {
	version    string
	transports []string
}

var generations = []generation{
	{"1.6.1", []string{"websocket", "xhr-streaming", "eventsource", "iframe-eventsource", "htmlfile", "iframe-htmlfile", "xhr-polling", "iframe-xhr-polling", "jsonp-polling"}},
	{"1.1.5", []string{"websocket", "xhr-streaming", "eventsource", "iframe-eventsource", "htmlfile", "iframe-htmlfile", "xhr-polling", "iframe-xhr-polling", "jsonp-polling"}},
	{"0.3.4", []string{"websocket", "xhr-streaming", "iframe-eventsource", "iframe-htmlfile", "xhr-polling", "iframe-xhr-polling", "jsonp-polling"}},
}

// clientFiles is a folder with the page of testdata/browser and the clients that it loads.
func clientFiles(t *testing.T) (dir string) {
	t.Helper()
	from := filepath.Join("..", "..", "testdata", "browser")
	if _, err := os.Stat(filepath.Join(from, "node_modules", ".package-lock.json")); err != nil {
		t.Skip("not run: clients behind proxies, because they are not here; run make browser-clients")
	}
	dir = t.TempDir()
	for name, file := range map[string]string{
		"index.html":        "index.html",
		"page.js":           "page.js",
		"sockjs-1.6.1.js":   "node_modules/sockjs-client/dist/sockjs.min.js",
		"sockjs-1.1.5.js":   "node_modules/sockjs-client-1.1.5/dist/sockjs.min.js",
		"sockjs-0.3.4.js":   "node_modules/ng-stomp/dist/ng-stomp.standalone.min.js",
		"stompjs.js":        "node_modules/stompjs/lib/stomp.min.js",
		"@stomp-stompjs.js": "node_modules/@stomp/stompjs/bundles/stomp.umd.min.js",
	} {
		text, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			t.Fatal(err)
		}
		if name == "sockjs-0.3.4.js" { // without what is not SockJS: that needs Angular
			text = []byte(strings.SplitN(string(text), ",/**\n * ngStomp", 2)[0])
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Each works at the first try: the transport opens, its messages are heard on all nodes, and
// what is said there comes. So it does in a page of another origin, but for htmlfile, whose
// frame calls the page; that is no matter of the proxy.
func TestClientsBehindProxies(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	config := "static: {path: /page, dir: " + clientFiles(t) + "}\nendpoints:\n  - {path: /echo, handler: echo}\n"
	for _, g := range generations {
		config += fmt.Sprintf("  - {path: /%s, handler: broadcast, client_url: /page/sockjs-%[1]s.js, trusted_proxies: [127.0.0.1], allowed_origins: [\"*\"]}\n", g.version)
	}
	nodes := carry(t, "embedded").nodesOf(t, 3, config)
	for _, g := range generations {
		answer(t, nodes, "/"+g.version)
	}
	visit := func(name, origin, url string, without ...string) {
		for _, g := range generations {
			t.Run(name+"/"+g.version, func(t *testing.T) {
				p := openPage(t, browser, origin+"/page/?"+g.version)
				for _, transport := range g.transports {
					if !slices.Contains(without, transport) {
						p.visits(url+"/"+g.version, g.version, transport)
					}
				}
				p.quiet()
			})
		}
	}
	for _, proxy := range []string{"haproxy", "nginx"} {
		url := balance(t, proxy, addresses(nodes))
		visit(proxy, url, url)
		if proxy == "haproxy" {
			visit("haproxy, another origin", strings.Replace(url, "127.0.0.1", "localhost", 1), url, "htmlfile")
		}
	}
}

// answer has a session on each node, which answers what a page says.
func answer(t *testing.T, nodes []*clusterNode, path string) {
	t.Helper()
	for i, n := range nodes {
		conn, err := client.Dial(t.Context(), n.url+path[1:], client.Options{Transports: []string{"websocket"}})
		if err != nil {
			t.Fatal(err)
		}
		var answering sync.WaitGroup
		answering.Go(func() { // until the connection ends
			for {
				text, err := conn.Recv(context.Background())
				if err != nil {
					return
				}
				if said, is := strings.CutPrefix(string(text), "page: "); is {
					conn.Send(fmt.Appendf(nil, "node %d: %s", i, said))
				}
			}
		})
		t.Cleanup(func() { conn.Close(); answering.Wait() })
	}
}

// visits has a session over a transport, from open to close.
func (p *page) visits(url, version, transport string) {
	p.t.Helper()
	said := []string{transport + " 1", transport + ` ünï © 한 😀 "quoted" <b>&amp; 100 % %41`}
	var texts []string
	want := make(map[string][]string) // of each speaker
	for _, text := range said {
		texts = append(texts, "page: "+text)
		for _, speaker := range []string{"page", "node 0", "node 1", "node 2"} {
			want[speaker] = append(want[speaker], text)
		}
	}
	arguments, err := json.Marshal(texts)
	if err != nil {
		p.t.Fatal(err)
	}
	p.do("visit", chromedp.Evaluate[chromedp.Void](fmt.Sprintf("seen = null; visit(%q, %q, %s, %d).then((s) => seen = s); 0", url, transport, arguments, 4*len(said))))
	var seen struct {
		Client, End   string
		Opened, Heard []string
	}
	if err := json.Unmarshal([]byte(p.poll("JSON.stringify(seen)")), &seen); err != nil {
		p.t.Fatal(err)
	}
	got := make(map[string][]string)
	for _, text := range seen.Heard {
		speaker, text, _ := strings.Cut(text, ": ")
		got[speaker] = append(got[speaker], text)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || seen.End != "1000 Normal closure" || !slices.Equal(seen.Opened, []string{transport}) || seen.Client != version {
		p.t.Errorf("%s over %s: %+v", version, transport, seen)
	}
}

// poll waits until an expression has a value that is not null, and returns it.
func (p *page) poll(expression string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTimeout)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Poll[string](fmt.Sprintf(`((v) => v === "null" ? "" : v)(%s)`, expression)))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return text
}

func addresses(nodes []*clusterNode) (all []string) {
	for _, n := range nodes {
		all = append(all, strings.TrimSuffix(strings.TrimPrefix(n.url, "http://"), "/"))
	}
	return all
}

// apart has two users come, the second until the two are on different nodes.
func apart(t *testing.T, nodes []*clusterNode, one, two string, come func(user string)) {
	t.Helper()
	come(one)
	for come(two); nodeOf(t, nodes, one) == nodeOf(t, nodes, two); {
		come(two)
	}
}

// nodeOf is the number of the node on which the newest session of a user is.
func nodeOf(t *testing.T, nodes []*clusterNode, user string) (at int) {
	t.Helper()
	var newest time.Time
	for i, n := range nodes {
		page, err := n.admin.Sessions(t.Context(), admin.Filter{User: user}, 100, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Sessions {
			if s.Opened != nil && s.Opened.After(newest) {
				at, newest = i, *s.Opened
			}
		}
	}
	if newest.IsZero() {
		t.Fatalf("%s has no session", user)
	}
	return at
}

// Two users of STOMP who are on different nodes hear what is said to all, and what is said to
// each alone.
func TestSTOMPUsersBehindProxies(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	nodes := carry(t, "embedded").nodesOf(t, 3, "static: {path: /page, dir: "+clientFiles(t)+`}
endpoints:
  - {path: /echo, handler: echo}
  - {path: /ws, handler: stomp, trusted_proxies: [127.0.0.1]}
stomp: {logins: [{login: ann, passcode: ann}, {login: bob, passcode: bob}]}
`)
	for _, proxy := range []string{"haproxy", "nginx"} {
		url := balance(t, proxy, addresses(nodes))
		for _, c := range []struct{ library, transport string }{
			{"stompjs", "websocket"}, {"stompjs", "xhr-streaming"}, {"stompjs", "xhr-polling"},
			{"@stomp/stompjs", "websocket"}, {"@stomp/stompjs", "eventsource"}, {"@stomp/stompjs", "jsonp-polling"},
		} {
			t.Run(proxy+"/"+c.library+"/"+c.transport, func(t *testing.T) {
				pages := map[string]*page{"ann": openPage(t, browser, "about:blank"), "bob": openPage(t, browser, "about:blank")}
				apart(t, nodes, "ann", "bob", func(user string) {
					p := pages[user]
					p.do("come", chromedp.Navigate(url+"/page/?1.6.1"), chromedp.Evaluate[chromedp.Void](
						fmt.Sprintf("user = new STOMPUser(%q, %q, %q, %q); 0", c.library, url+"/ws", c.transport, user)))
					p.poll(`user.subscribed + user.ends.length < 2 ? null : "ready"`)
				})
				say := func(user, destination, body string) {
					pages[user].do("say", chromedp.Evaluate[chromedp.Void](fmt.Sprintf("user.say(%q, %q)", destination, body)))
				}
				for i := range 3 {
					say("ann", "/topic/all", fmt.Sprint("from ann ", i))
					say("ann", "/user/bob/queue/own", fmt.Sprint("to bob ", i))
				}
				pages["bob"].poll(`user.heard.length + user.ends.length < 6 ? null : "there"`)
				for i := range 3 {
					say("bob", "/topic/all", fmt.Sprint("from bob ", i))
					say("bob", "/user/ann/queue/own", fmt.Sprint("to ann ", i))
				}
				for user, want := range map[string]string{
					"ann": "from ann 0,from ann 1,from ann 2,from bob 0,to ann 0,from bob 1,to ann 1,from bob 2,to ann 2",
					"bob": "from ann 0,to bob 0,from ann 1,to bob 1,from ann 2,to bob 2,from bob 0,from bob 1,from bob 2",
				} {
					pages[user].poll(`user.heard.length + user.ends.length < 9 ? null : "there"`)
					if got := pages[user].poll(`user.heard.concat(user.ends).join()`); got != want {
						t.Errorf("%s has %s, want %s", user, got, want)
					}
					pages[user].quiet()
				}
			})
		}
	}
}

// Two people on different nodes talk: each has what the other says, at once, and finds it when
// the page is loaded anew.
func TestChatPagesBehindProxies(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	nodes := carry(t, "embedded").nodesOf(t, 3, `
page: true
history: {store: "`+postgrestest.Start(t, "fsync=off").URL+`"}
endpoints:
  - {path: /echo, handler: echo}
  - {path: /chat, handler: chat, trusted_proxies: [127.0.0.1]}
`)
	for _, proxy := range []string{"haproxy", "nginx"} {
		url := balance(t, proxy, addresses(nodes)) + "/"
		for _, transport := range []string{"websocket", "xhr-streaming", "xhr-polling"} {
			t.Run(proxy+"/"+transport, func(t *testing.T) {
				room := proxy + " " + transport
				pages := make(map[string]*chatPage)
				apart(t, nodes, "kim", "lee", func(user string) {
					if p := pages[user]; p != nil {
						p.close()
					}
					pages[user] = enterChat(t, browser, url, user, transport, room)
				})
				kim, lee := pages["kim"], pages["lee"]
				kim.says("from kim")
				lee.has("from kim")
				lee.types("from")
				kim.told("lee is typing")
				lee.says(" lee")
				kim.has("from lee")
				lee.goTo("") // and is there still, but does not see it
				kim.says("and again")
				lee.counts(room, 1)
				kim.has("and again")
				kim.do("wait for what is sent", chromedp.WaitNotPresent(chromedp.CSS(`.message:not([data-state="stored"])`)))
				kim.close()
				again := enterChat(t, browser, url, "kim", transport, room)
				again.has("and again")
				if got, want := again.said(), []string{"from kim", "from lee", "and again"}; !slices.Equal(got, want) {
					t.Errorf("kim finds %q, want %q", got, want)
				}
				for _, p := range []*chatPage{kim, lee, again} {
					for _, complaint := range p.complaints() {
						// A client tries anew where a machine is slow: see testdata/browser/page.js.
						if !strings.Contains(complaint, "closed before the connection is established") {
							t.Errorf("the console says: %s", complaint)
						}
					}
				}
			})
		}
	}
}
