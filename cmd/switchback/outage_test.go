package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"switchback/transport/client"
)

// What the load of an outage is: topics with a session each, and batches of publications,
// of which each topic has its share.
const (
	outageTopics  = 10
	outageShare   = 5
	outageBatches = 10 // a second: 500 publications
)

// An issuer serves a JWK set at one address, whenever it is up.
type issuer struct {
	addr   string
	server *http.Server
	ended  chan struct{}
}

func (i *issuer) up(t *testing.T, keys map[string]ed25519.PrivateKey) {
	t.Helper()
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	for id, key := range keys {
		set.Keys = append(set.Keys, map[string]string{
			"kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey)),
		})
	}
	if i.addr == "" {
		i.addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", i.addr)
	if err != nil {
		t.Fatal(err)
	}
	i.addr, i.ended = ln.Addr().String(), make(chan struct{})
	i.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(set) })}
	go func() { i.server.Serve(ln); close(i.ended) }() // ends with down
}

func (i *issuer) down() {
	i.server.Close()
	<-i.ended
}

// tokenOf is a token that a key has signed.
func tokenOf(t *testing.T, id string, key ed25519.PrivateKey, user string) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": user, "exp": time.Now().Add(time.Hour).Unix()})
	token.Header["kid"] = id
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// asPublisher, set in the environment, makes the test binary a service that publishes: for
// the run that it names, by the admin listener of SWITCHBACK_ADMIN_ADDR. It prints how many
// batches were answered with 200.
const asPublisher = "SWITCHBACK_TEST_AS_PUBLISHER"

func publish(run string) {
	tick := time.NewTicker(time.Second / outageBatches)
	for batch := range int(^uint(0) >> 1) {
		<-tick.C
		var all []map[string]any
		for n := range outageShare {
			for topic := range outageTopics {
				all = append(all, map[string]any{"destination": fmt.Sprint("/alarm/", topic),
					"payload": map[string]any{"run": json.Number(run), "n": batch*outageShare + n + 1, "text": strings.Repeat("x", 500)}})
			}
		}
		body, _ := json.Marshal(map[string]any{"batch": all})
		r, _ := http.NewRequest(http.MethodPost, os.Getenv("SWITCHBACK_ADMIN_ADDR")+"api/publish", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+os.Getenv("SWITCHBACK_ADMIN_TOKEN"))
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			fmt.Println(res.Status, string(text))
			return
		}
		fmt.Println(batch + 1)
	}
}

// A publisher is that service as a process of its own.
type publisher struct {
	cmd      *exec.Cmd
	answered atomic.Int64 // batches
	said     chan string  // its last line, if that is no number; closed at its end
}

func startPublisher(t *testing.T, run int, admin string) *publisher {
	t.Helper()
	p := &publisher{cmd: exec.Command(os.Args[0]), said: make(chan string, 1)}
	p.cmd.Env = []string{asPublisher + "=" + strconv.Itoa(run), "SWITCHBACK_ADMIN_ADDR=" + admin, "SWITCHBACK_ADMIN_TOKEN=" + adminToken}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	go func() { // ends with the process
		defer close(p.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.ParseInt(lines.Text(), 10, 64)
			if err != nil {
				p.said <- lines.Text()
				return
			}
			p.answered.Store(n)
		}
	}()
	return p
}

// kill ends it as kill -9 does, and returns how many batches were answered.
func (p *publisher) kill(t *testing.T) int64 {
	t.Helper()
	p.cmd.Process.Kill()
	if line, failed := <-p.said; failed {
		t.Errorf("the publisher says %q", line)
	}
	p.cmd.Wait()
	return p.answered.Load()
}

// An outageClient subscribes to a topic, and sees that what comes is in order and whole.
type outageClient struct {
	conn *client.Conn

	mu      sync.Mutex // guards the rest
	run, n  int64      // what came last
	failure error
}

func (c *outageClient) read(t *testing.T) {
	for {
		text, err := c.conn.Recv(t.Context())
		var m struct{ Run, N int64 }
		if err == nil {
			_, body, _ := bytes.Cut(text, []byte("\n\n"))
			if err = json.Unmarshal(bytes.TrimSuffix(body, []byte{0}), &m); err != nil {
				err = fmt.Errorf("got %.100q", text)
			}
		}
		c.mu.Lock()
		switch {
		case err != nil:
			c.failure = err
		case m.Run == c.run && m.N == c.n+1, m.Run == c.run+1 && m.N == 1:
			c.run, c.n = m.Run, m.N
		default:
			c.failure = fmt.Errorf("run %d, %d comes after run %d, %d", m.Run, m.N, c.run, c.n)
		}
		failed := c.failure != nil
		c.mu.Unlock()
		if failed {
			return
		}
	}
}

func (c *outageClient) last() (run, n int64, failure error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run, c.n, c.failure
}

// The server of the keys is away, and the service that publishes is killed, while 500
// messages a second are published. Sessions stay, and so do keys that are known; a new key is
// refused until the keys can be fetched again. All that was answered is delivered, in order.
// The log says one line for the beginning and one for the end, however long that is, and
// nothing is left over. In make soak it is for 20 seconds, in which the keys are asked for
// several times.
func TestOutagesUnderLoadAreSaidOnceAndLeaveNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	const retry = 10 * time.Second // at least between two fetches, see auth.FetchKeys
	outage := 2 * time.Second
	if soak {
		outage = 20 * time.Second
	}
	keys := make(map[string]ed25519.PrivateKey)
	for _, id := range []string{"old", "new"} {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		keys[id] = key
	}
	var issuer issuer
	issuer.up(t, map[string]ed25519.PrivateKey{"old": keys["old"]})
	defer func() { issuer.down() }()
	file := writeFile(t, "conf.yaml", `
endpoints: [{path: /ws, handler: stomp}]
stomp: {topics: [/alarm], apps: []}
auth: {jwt: {jwks_url: 'http://`+issuer.addr+`/keys'}}
rules: [{on: subscribe, to: "/alarm/{user}", allow: authenticated}, {deny: all}]
`)
	cmd := exec.Command(binaryFile(t), "serve", "--config", file, "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
	cmd.Env = []string{"SWITCHBACK_ADMIN_TOKEN=" + adminToken}
	p := startCommand(t, cmd)
	begun := time.Now()
	admin := regexp.MustCompile(`admin at (\S+)`).FindStringSubmatch(p.ready)[1]

	var clients []*outageClient
	for i, transports := range [][]string{{"raw-websocket"}, {"websocket"}, {"xhr-streaming"}, {"eventsource"}, {"xhr-polling"}} {
		for _, topic := range []int{i, outageTopics - 1 - i} {
			conn, err := client.Dial(t.Context(), p.url+"ws", client.Options{Transports: transports,
				Header: http.Header{"Authorization": {"Bearer " + tokenOf(t, "old", keys["old"], strconv.Itoa(topic))}}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, frame := range []string{"CONNECT\naccept-version:1.2\n\n\x00", fmt.Sprintf("SUBSCRIBE\nid:1\ndestination:/alarm/%d\nreceipt:r\n\n\x00", topic)} {
				conn.Send([]byte(frame))
				if got, err := conn.Recv(t.Context()); err != nil || !bytes.HasPrefix(got, []byte("CONNECTED")) && !bytes.HasPrefix(got, []byte("RECEIPT")) {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			c := &outageClient{conn: conn}
			clients = append(clients, c)
			var reading sync.WaitGroup
			reading.Go(func() { c.read(t) }) // ends with the connection
			defer func() { conn.Close(); reading.Wait() }()
		}
	}
	// delivered waits until all have what was answered, of which the last batch may be one
	// whose answer the publisher did not live to see.
	delivered := func(run, batches int64) {
		t.Helper()
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			missing := slices.IndexFunc(clients, func(c *outageClient) bool {
				r, n, failure := c.last()
				return failure != nil || r != run || n != batches*outageShare && n != (batches+1)*outageShare
			})
			if missing < 0 {
				return
			}
			if r, n, failure := clients[missing].last(); failure != nil || time.Since(begun) > patience {
				t.Fatalf("client %d: %v; it has run %d, %d of %d batches of %d", missing, failure, r, n, batches, outageShare)
			}
		}
	}
	ids := 0
	open := func(id string) string { // a session
		t.Helper()
		ids++
		r, err := http.NewRequest(http.MethodPost, fmt.Sprintf("%sws/0/s%d/xhr", p.url, ids), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+tokenOf(t, id, keys[id], "kim"))
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return fmt.Sprint(res.StatusCode, " ", string(text))
	}
	const welcome, unknown = "200 o\n", "401 Token is signed with a key that is not known here\n"
	service := startPublisher(t, 1, admin)
	if got := open("old"); got != welcome {
		t.Fatalf("got %q", got)
	}
	time.Sleep(time.Until(begun.Add(retry + time.Second))) // the keys may be asked for again
	before := p.usage(admin, len(clients))

	issuer.down()
	delivered(1, service.kill(t))
	refused := 0
	for gone := time.Now(); time.Since(gone) < outage; time.Sleep(5 * time.Millisecond) {
		if got := open("new"); got != unknown {
			t.Fatalf("a key that cannot be fetched: got %q", got)
		}
		if refused++; refused%10 == 0 {
			if got := open("old"); got != welcome {
				t.Fatalf("a key that is known: got %q", got)
			}
		}
	}
	p.logs("auth: keys cannot be fetched; the last ones stay")

	issuer.up(t, keys)
	service = startPublisher(t, 2, admin)
	for back := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		got := open("new")
		if got == welcome {
			t.Logf("%d tokens of the new key were refused in %v; the key was accepted %v after the end", refused, outage, time.Since(back).Round(time.Millisecond))
			break
		}
		if refused++; got != unknown || time.Since(back) > patience {
			t.Fatalf("%v after the end: got %q", time.Since(back), got)
		}
	}
	if got := open("old"); got != welcome {
		t.Errorf("a key that has stayed: got %q", got)
	}
	p.restsAt(before, admin, len(clients))
	delivered(2, service.kill(t))

	var said []string // but for the refused, of which the log leaves out most
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.Contains(line, "session refused") {
			said = append(said, line)
		}
	}
	if len(said) != 2 || !strings.Contains(said[0], "keys cannot be fetched") || !strings.Contains(said[1], "keys are fetched again") {
		t.Errorf("the log says\n%s", strings.Join(said, ""))
	}
}
