package auth

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An issuer serves a JWK set.
type issuer struct {
	*httptest.Server
	asked atomic.Int64

	mu     sync.Mutex
	status int
	set    string
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{status: 200}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.status == http.StatusFound {
			w.Header().Set("Location", "http://"+i.Listener.Addr().String()+"/other")
		}
		w.WriteHeader(i.status)
		w.Write([]byte(i.set))
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) serve(status int, set string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.set = status, set
}

type logBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *logBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

// fetching are the keys of an issuer, with times that a test can wait for.
func fetching(t *testing.T, url string, refresh, retry time.Duration) (*Verifier, *Keys, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	keys, err := fetchKeys(url, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), refresh, retry)
	v := verifier(t, keys, err, Options{})
	t.Cleanup(keys.Close)
	return v, keys, log
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// by is a token of a key that has an id.
func by(t *testing.T, key, id string) string {
	return token(t, "ES256", private()[key], kim(), claims{"kid": id})
}

// A key that is new is fetched for the first token that it has signed; one that is gone
// is accepted no more.
func TestKeysRotate(t *testing.T) {
	i := newIssuer(t)
	first, second := jwk(t, private()["p256"], "1", nil), jwk(t, private()["other"], "2", nil)
	i.serve(200, jwks(t, first))
	v, keys, _ := fetching(t, i.URL, time.Hour, 50*time.Millisecond)
	if _, err := v.Verify(by(t, "p256", "1")); err != nil { // waits for the first fetch
		t.Fatal(err)
	}
	i.serve(200, jwks(t, first, second))
	time.Sleep(60 * time.Millisecond)
	for _, text := range []string{by(t, "other", "2"), by(t, "p256", "1")} {
		if _, err := v.Verify(text); err != nil {
			t.Error(err)
		}
	}
	i.serve(200, jwks(t, second))
	time.Sleep(60 * time.Millisecond)
	v.Verify(by(t, "p256", "3"))
	const unknown = "Token is signed with a key that is not known here"
	if _, got := reason(func() error { _, err := v.Verify(by(t, "p256", "1")); return err }()); got != unknown {
		t.Errorf("a key that is gone: %q", got)
	}
	if n := keys.Stats().Fetched.Load(); n < 3 {
		t.Errorf("%d fetches", n)
	}
}

// Whoever brings tokens of unknown keys does not have the issuer asked for each.
func TestUnknownKeysAreAskedForSeldom(t *testing.T) {
	i := newIssuer(t)
	i.serve(200, jwks(t, jwk(t, private()["p256"], "1", nil)))
	v, _, _ := fetching(t, i.URL, time.Hour, time.Hour)
	if _, err := v.Verify(by(t, "p256", "1")); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if _, err := v.Verify(by(t, "p256", "guessed")); err == nil {
					t.Error("is accepted")
				}
			}
		})
	}
	all.Wait()
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times", n)
	}
	if n := v.Stats().Unknown.Load(); n != 160 {
		t.Errorf("%d are counted", n)
	}
}

// However many bring tokens of unknown keys while the issuer is slow, few are kept waiting.
func TestFewWaitForASlowIssuer(t *testing.T) {
	i := newIssuer(t)
	i.serve(200, jwks(t, jwk(t, private()["p256"], "1", nil)))
	v, keys, _ := fetching(t, i.URL, time.Hour, time.Millisecond)
	if _, err := v.Verify(by(t, "p256", "1")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	i.mu.Lock() // the issuer answers nothing
	waiting := func() int {
		keys.remote.mu.Lock()
		defer keys.remote.mu.Unlock()
		return keys.remote.waiting
	}
	guessed, answers := by(t, "p256", "guessed"), make(chan error, 3*awaitLimit)
	for range 3 * awaitLimit {
		go func() { // ends with its answer
			_, err := v.Verify(guessed)
			answers <- err
		}()
	}
	for range 2 * awaitLimit {
		if err := <-answers; err == nil {
			t.Error("is accepted")
		}
	}
	if n := waiting(); n != awaitLimit {
		t.Errorf("%d wait", n)
	}
	if _, err := v.Verify(by(t, "p256", "1")); err != nil {
		t.Errorf("a key that is known: %v", err)
	}
	i.mu.Unlock()
	for range awaitLimit {
		<-answers
	}
	if n := waiting(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestKeysAreFetchedAgainAndAgain(t *testing.T) {
	i := newIssuer(t)
	i.serve(200, jwks(t, jwk(t, private()["p256"], "1", nil)))
	_, keys, _ := fetching(t, i.URL, 5*time.Millisecond, time.Hour)
	eventually(t, "five fetches", func() bool { return keys.Stats().Fetched.Load() >= 5 })
}

// While the issuer is down, or talks nonsense, the last keys stay. The log has a line for
// the beginning of that, and one for its end.
func TestLastKeysStayWhileTheIssuerIsDown(t *testing.T) {
	good := jwks(t, jwk(t, private()["p256"], "1", nil))
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"error":      {500, good, "500 Internal Server Error"},
		"not there":  {404, "", "404 Not Found"},
		"elsewhere":  {302, good, "302 Found"},
		"nonsense":   {200, "<html>", "is no JWK set"},
		"no keys":    {200, `{"keys":[]}`, "the JWK set has 0 keys"},
		"too large":  {200, good + strings.Repeat(" ", setLimit), "more than 1048576 bytes"},
		"other keys": {200, jwks(t, claims{"kty": "oct", "k": "AAAA"}), "none of them verifies tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			i.serve(200, good)
			v, keys, log := fetching(t, i.URL+"/keys?secret=s3cret", 2*time.Millisecond, 2*time.Millisecond)
			if _, err := v.Verify(by(t, "p256", "1")); err != nil {
				t.Fatal(err)
			}
			i.serve(c.status, c.body)
			eventually(t, "failures", func() bool { return keys.Stats().Failures.Load() >= 3 })
			if _, err := v.Verify(by(t, "p256", "1")); err != nil {
				t.Errorf("the last keys are gone: %v", err)
			}
			i.serve(200, good)
			eventually(t, "the end", func() bool { return strings.Contains(log.text(), "keys are fetched again") })
			failures := keys.Stats().Failures.Load()
			fetched := keys.Stats().Fetched.Load()
			eventually(t, "more", func() bool { return keys.Stats().Fetched.Load() > fetched+2 })
			text := log.text()
			if strings.Count(text, "keys cannot be fetched; the last ones stay") != 1 || strings.Count(text, "\n") != 2 || !strings.Contains(text, c.want) {
				t.Errorf("after %d failures: %s", failures, text)
			}
			if strings.Contains(text, "s3cret") {
				t.Errorf("the log has the query: %s", text)
			}
		})
	}
}

// The issuer's machine is away for two seconds, when the server starts. Until it comes
// nobody is told that a token is wrong.
func TestIssuerComesLate(t *testing.T) {
	i := newIssuer(t)
	i.serve(200, jwks(t, jwk(t, private()["p256"], "1", nil)))
	address := i.Listener.Addr().String()
	handler := i.Config.Handler
	i.Close()
	v, keys, log := fetching(t, "http://"+address+"/keys?secret=s3cret", time.Hour, 100*time.Millisecond)
	eventually(t, "a failure", func() bool { return keys.Stats().Failures.Load() > 0 })
	_, err := v.Verify(by(t, "p256", "1"))
	if status, got := reason(err); status != 503 || got != "Keys are not there yet" {
		t.Errorf("got %v", err)
	}
	time.Sleep(500 * time.Millisecond) // several failures
	back := httptest.NewUnstartedServer(handler)
	back.Listener.Close()
	if back.Listener, err = net.Listen("tcp", address); err != nil {
		t.Skip(err)
	}
	back.Start()
	defer back.Close()
	eventually(t, "the keys", func() bool { _, err := v.Verify(by(t, "p256", "1")); return err == nil })
	text := log.text()
	if strings.Count(text, "\n") != 2 || strings.Contains(text, "s3cret") {
		t.Errorf("after %d failures: %s", keys.Stats().Failures.Load(), text)
	}
}

func TestURLsOfKeys(t *testing.T) {
	for _, url := range []string{"", "keys.json", "file:///keys.json", "ftp://127.0.0.1/", "http://", "https:///x", "http://a b/"} {
		if keys, err := FetchKeys(url, slog.New(slog.DiscardHandler)); err == nil {
			keys.Close()
			t.Errorf("%q is taken", url)
		}
	}
}
