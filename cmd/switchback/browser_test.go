package main

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"switchback/web"
)

// The test page in a headless Chromium: what a reader does with the mouse and
// the keyboard, over every transport that the page offers.

func TestPageEchoesOverEachTransport(t *testing.T) {
	t.Parallel()
	echoesOverEachTransport(t, startBrowser(t), startServer(t))
}

// Over TLS, by HTTP/2 and by HTTP/1.1.
func TestPageEchoesOverEachTransportByTLS(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]chromedp.ExecAllocatorOption{
		"HTTP/2":   nil,
		"HTTP/1.1": {chromedp.Flag("disable-http2", true)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			browser := startBrowser(t, append(flags, chromedp.Flag("ignore-certificate-errors", true))...)
			dir := t.TempDir()
			writeCertificate(t, dir)
			echoesOverEachTransport(t, browser, strings.TrimSuffix(startSecure(t, dir, "").url, "/"))
		})
	}
}

// pageTransports are those that the page offers.
var pageTransports = []string{
	"websocket", "xhr-streaming", "xhr-polling", "eventsource", "htmlfile", "jsonp-polling",
	"iframe-eventsource", "iframe-htmlfile", "iframe-xhr-polling",
}

// pageTexts are echoed over each.
func pageTexts(transport string) []string {
	return []string{"straight " + transport, "ünï © 한 😀 \"quoted\" <b>&amp; 100 % %41"}
}

func echoesOverEachTransport(t *testing.T, browser context.Context, url string) {
	for _, transport := range pageTransports {
		t.Run(transport, func(t *testing.T) {
			p := openPage(t, browser, url)
			p.choose("/echo", transport)
			p.connect()
			p.inUse(transport)
			for _, text := range pageTexts(transport) {
				p.echoes(text)
			}
			p.disconnect()
			p.quiet()
		})
	}
}

func TestPageTakesWebSocketByItself(t *testing.T) {
	t.Parallel()
	p := openPage(t, startBrowser(t), startServer(t))
	p.choose("/echo", "automatic")
	p.connect()
	p.inUse("websocket")
	p.echoes("by itself")
	p.disconnect()
	p.quiet()
}

func TestPageSendsAHundredMessages(t *testing.T) {
	t.Parallel()
	p := openPage(t, startBrowser(t), startServer(t))
	p.choose("/echo", "xhr-streaming")
	p.connect()
	p.click("send-many")
	p.see("message", "Hello 100")
	p.shows("sent", "100")
	p.shows("received", "100")
	p.disconnect()
	p.quiet()
}

func TestPageSeesWhatOthersBroadcast(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	url := startServer(t)
	one, two := openPage(t, browser, url), openPage(t, browser, url)
	one.choose("/broadcast", "websocket")
	two.choose("/broadcast", "eventsource")
	one.connect()
	two.connect()
	one.send("from one")
	two.see("message", "from one")
	two.send("from two")
	one.see("message", "from two")
	one.quiet()
	two.quiet()
}

// A transport that was chosen may take its time to open: there is no other to try.
func TestPageWaitsForTheTransportOfItsLink(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	to, err := url.Parse(startServer(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/xhr") {
			time.Sleep(3 * time.Second) // after 0.6 s others would be tried
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(slow.Close)
	p := openPage(t, browser, slow.URL+"/?endpoint=/echo&transport=xhr-polling")
	p.is("open")
	p.inUse("xhr-polling")
	p.quiet()
}

func TestPageConnectsAsItsLinkAsks(t *testing.T) {
	t.Parallel()
	p := openPage(t, startBrowser(t), startServer(t)+"/?endpoint=/echo&transport=xhr-streaming")
	p.is("open")
	p.inUse("xhr-streaming")
	p.echoes("by link")
	p.quiet()
}

func TestPageRefusesALinkItDoesNotKnow(t *testing.T) {
	t.Parallel()
	p := openPage(t, startBrowser(t), startServer(t)+"/?transport=telegraph")
	p.is("closed")
	p.notices("telegraph")
	p.quiet()
}

func TestPageSaysThatTheServerIsAway(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(web.Handler())
	t.Cleanup(server.Close)
	p := openPage(t, startBrowser(t), server.URL+"/?endpoint=/echo")
	p.is("closed")
	p.notices("No answer at /echo/info")
}

// A browser tells pages nothing of a refusal: it may have been one.
func TestPageSaysThatTheServerMayRefuse(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	conf := writeFile(t, "conf.yaml", "page: true\nauth: {tickets: {life: 10s}}\nendpoints: [{path: /echo, handler: echo}]")
	url := start(t, "serve", "--config", conf, "--addr", "127.0.0.1:0").url
	for link, want := range map[string]string{
		"":                     "No transport works on /echo: the server refuses who brings no token, which goes after #",
		"&transport=websocket": "websocket does not work here: the server has it switched off or refuses who brings no token",
		"#ticket=another":      "the server refuses what this page's address has after #",
	} {
		p := openPage(t, browser, url+"?endpoint=/echo"+link)
		p.is("closed")
		p.notices(want)
	}
}

func TestChatSaysThatItIsNotServed(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	conf := writeFile(t, "conf.yaml", "page: true\nendpoints: [{path: /echo, handler: echo}]")
	p := openPage(t, browser, start(t, "serve", "--config", conf, "--addr", "127.0.0.1:0").url+"chat.html?user=kim")
	p.do("wait for the notice", chromedp.WaitVisible(chromedp.ID("connection")))
	said := p.text("#connection-text")
	if want := "No answer at /chat/info: the server is away, refuses, or has no such endpoint."; said != want {
		t.Errorf("got %q, want %q", said, want)
	}
}

func TestPageSaysThatTheClientIsMissing(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == web.ClientPath() {
			http.NotFound(w, r)
			return
		}
		web.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p := openPage(t, browser, server.URL)
	p.is("missing")
	p.notices("sockjs-client could not be loaded")
	if len(p.complaints()) == 0 {
		t.Error("the browser's complaint about the missing file was not seen")
	}
}

// What bounds one step on a page, all that is done with a page, and the life
// of a browser.
const (
	stepTimeout    = time.Minute
	pageTimeout    = 4 * time.Minute
	browserTimeout = 10 * time.Minute
)

// browsers has a place for each that may run at a time: one takes a core, now and then, and a
// client gives a transport up that a busy machine keeps back.
var browsers = make(chan struct{}, 2)

// startBrowser starts a Chromium with a profile of its own, and ends it with
// the test. It skips the test where there is no Chromium or no client.
func startBrowser(t *testing.T, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("not run with -short: the page in a browser")
	}
	program := chromium(t)
	if web.ClientPath() == "" {
		t.Skip("not run: the page in a browser, because sockjs-client is not embedded; make puts it into web/client")
	}
	browsers <- struct{}{}
	t.Cleanup(func() { <-browsers })
	dir, err := os.MkdirTemp("", "") // t.TempDir may be too long a path for the socket that it puts there, and leaves
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bounded, cancel := context.WithTimeout(context.Background(), browserTimeout)
	t.Cleanup(cancel)
	allocator, cancelAllocator := chromedp.NewExecAllocator(bounded, append(flags,
		chromedp.ExecPath(program), chromedp.Env("TMPDIR="+dir), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))...)
	t.Cleanup(cancelAllocator)
	browser, cancelBrowser := chromedp.NewContext(allocator)
	t.Cleanup(cancelBrowser)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	return browser
}

func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("not run: the page in a browser, because there is no chromium or google-chrome on PATH; install one")
	return ""
}

// A page is the test page in a tab of its own. Its methods fail the test when
// the page does not come to what they ask for.
type page struct {
	t       *testing.T
	ctx     context.Context
	console iter.Seq2[chromedp.ConsoleMessage, error]
}

func openPage(t *testing.T, browser context.Context, url string) *page {
	t.Helper()
	bounded, cancel := context.WithTimeout(browser, pageTimeout)
	t.Cleanup(cancel)
	ctx, cancelTab := chromedp.NewContext(bounded)
	t.Cleanup(cancelTab)
	p := &page{t: t, ctx: ctx, console: chromedp.Console(ctx)}
	p.do("open "+url, chromedp.Navigate(url))
	return p
}

func (p *page) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v; the page shows:\n%s", what, err, p.text("body"))
	}
}

// text is what the reader sees of the first element with a selector.
func (p *page) text(selector string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTimeout)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		p.t.Errorf("reading %s: %v", selector, err)
	}
	return text
}

func (p *page) choose(endpoint, transport string) {
	p.t.Helper()
	p.is("closed")
	p.do("choose", chromedp.SetValue(chromedp.ID("endpoint"), endpoint),
		chromedp.SetValue(chromedp.ID("transport"), transport))
}

func (p *page) connect() {
	p.t.Helper()
	p.click("connect")
	p.is("open")
}

func (p *page) disconnect() {
	p.t.Helper()
	p.click("connect")
	p.see("close", "1000 Normal closure")
	p.is("closed")
}

func (p *page) click(id string) {
	p.t.Helper()
	p.do("click "+id, chromedp.WaitEnabled(chromedp.ID(id)), chromedp.Click(chromedp.ID(id)))
}

func (p *page) send(text string) {
	p.t.Helper()
	p.do("write", chromedp.Evaluate[chromedp.Void](`document.getElementById("message").select()`),
		chromedp.SendKeys(chromedp.ID("message"), text))
	p.click("send")
}

// echoes sends a text, and waits until it is back and its time is shown.
func (p *page) echoes(text string) {
	p.t.Helper()
	p.send(text)
	p.see("message", text)
	p.do("round trip", chromedp.WaitReady(chromedp.Search(`//*[@id="rtt-last"][contains(., " ms")]`)))
}

// is waits for a state of the session.
func (p *page) is(state string) {
	p.t.Helper()
	p.do("wait for "+state, chromedp.WaitReady(chromedp.CSS(`main[data-state="`+state+`"]`)))
}

// see waits for a frame in the log.
func (p *page) see(kind, text string) {
	p.t.Helper()
	row := fmt.Sprintf(`//li[@data-kind="%s"][span[@class="text"]=%s]`, kind, literal(text))
	p.do("wait for "+kind+" "+text, chromedp.WaitReady(chromedp.Search(row)))
}

// literal is text in XPath, which has no escapes.
func literal(text string) string {
	return `concat("", "` + strings.ReplaceAll(text, `"`, `", '"', "`) + `")`
}

func (p *page) inUse(transport string) {
	p.t.Helper()
	p.shows("transport-used", transport)
}

func (p *page) shows(id, want string) {
	p.t.Helper()
	if got := p.text("#" + id); got != want {
		p.t.Errorf("%s is %q, want %q", id, got, want)
	}
}

func (p *page) notices(want string) {
	p.t.Helper()
	if got := p.text("#notice"); !strings.Contains(got, want) {
		p.t.Errorf("the notice is %q, want %q in it", got, want)
	}
}

// prescribed begins the browser's warning about a line that is in the iframe
// page and in htmlfile's because the protocol has it there (sockjs-protocol,
// IframePage and HtmlFile).
const prescribed = "document.domain mutation is ignored"

// quiet fails the test when the browser has complained about anything: an
// exception, a refused resource, a violation of the page's security policy.
func (p *page) quiet() {
	p.t.Helper()
	for _, complaint := range p.complaints() {
		p.t.Errorf("the console says: %s", complaint)
	}
}

// complaints are the errors and warnings of the console so far.
func (p *page) complaints() []string {
	p.t.Helper()
	const mark = "the end of the test"
	p.do("mark the console", chromedp.Evaluate[chromedp.Void](`console.debug("`+mark+`")`))
	var found []string
	for m, err := range p.console {
		switch {
		case err != nil:
			p.t.Fatalf("reading the console: %v", err)
		case m.Text == mark:
			return found
		case strings.HasPrefix(m.Text, prescribed):
		case m.Type == chromedp.ConsoleError, m.Type == chromedp.ConsoleWarning, m.IsException():
			found = append(found, m.String()+" "+m.URL)
		}
	}
	return found
}

// startServer serves what is there without a configuration until the test ends.
func startServer(t *testing.T) (baseURL string) {
	t.Helper()
	return strings.TrimSuffix(start(t, "serve", "--addr", "127.0.0.1:0").url, "/")
}
