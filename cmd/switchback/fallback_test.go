package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"switchback/handler/engine/enginetest"
)

// A page with a ticket, whose proxy strips the upgrade to WebSocket, streams; and where the
// proxy keeps streams back, it polls. The ticket is good for each transport that is tried.
func TestPageWithATicketFallsBackBehindAProxy(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(strings.Repeat("sesame", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	status, token, stderr := finish(t, "token", "make", "--secret-file", filepath.Join(dir, "secret"), "--user", "kim")
	if status != 0 {
		t.Fatal(stderr)
	}
	for _, c := range []struct{ proxy, transport, fallback string }{
		{"", "xhr-streaming", `from="websocket",how="refused",to="xhr-streaming"`},
		{"proxy_ignore_headers X-Accel-Buffering;", "xhr-polling", `to="xhr-polling"`},
	} {
		t.Run(c.transport, func(t *testing.T) {
			p, admin := startAdmin(t, "log_level: debug\npage: true\nendpoints: [{path: /broadcast, handler: broadcast}]\nauth: {jwt: {secret_file: "+dir+"/secret}}\n")
			front := startNginx(t, strings.TrimSuffix(p.url, "/"), c.proxy)
			call := func(path, body string) string {
				t.Helper()
				r, err := http.NewRequest(http.MethodPost, admin+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+adminToken)
				res, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				text, _ := io.ReadAll(res.Body)
				return string(text)
			}
			var ticket struct{ Query string }
			if answer := call("api/tickets", `{"token":"`+strings.TrimSpace(token)+`"}`); json.Unmarshal([]byte(answer), &ticket) != nil || ticket.Query == "" {
				t.Fatal(answer)
			}

			page := openPage(t, browser, front+"/#"+ticket.Query)
			page.choose("/broadcast", "automatic")
			// Of a round trip, of which each transport has some: a busy machine may need more than 300 ms.
			page.do("be patient", chromedp.Evaluate[chromedp.Void](`SockJS.prototype.countRTO = () => 2000`))
			page.connect()
			page.inUse(c.transport)
			page.send("from the page") // which all hear, the page too
			page.see("message", "from the page")
			call("api/publish", `{"destination":"/broadcast","text":"from the service"}`)
			page.see("message", "from the service")
			page.send("and again")
			page.see("message", "and again")

			_, listed, _ := administer(t, admin, "", "sessions", "--json")
			var only struct{ User, Transport string } // what was tried before is no session any more
			if err := json.Unmarshal([]byte(listed), &only); err != nil || only.User != "kim" || only.Transport != c.transport {
				t.Errorf("the sessions are %s", listed)
			}
			if metrics := fetch(t, http.DefaultClient, admin+"metrics"); !strings.Contains(metrics, c.fallback) {
				t.Errorf("no fallback with %s is counted", c.fallback)
			}
			for _, complaint := range page.complaints() {
				if !strings.Contains(complaint, "/websocket") { // which the proxy does not let through
					t.Errorf("the console says: %s", complaint)
				}
			}
			for _, secret := range []string{strings.TrimSpace(token), strings.TrimPrefix(ticket.Query, "ticket="), adminToken} {
				if strings.Contains(p.stderr.String(), secret) {
					t.Error("the log has what is secret")
				}
			}
		})
	}
}

// startNginx starts a proxy as Debian has it, which passes no upgrade on, with more in its
// configuration, and returns its URL.
func startNginx(t *testing.T, to, more string) (url string) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // where Debian has it, which is not on everyone's PATH
		if _, err := os.Stat(program); err != nil {
			t.Skip("not run: the page behind a proxy, because there is no nginx; apt-get install nginx")
		}
	}
	addr, dir := enginetest.FreeAddress(t), t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(`
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen `+addr+`;
    location / {
      proxy_pass `+to+`;
      proxy_set_header Host $http_host;
      `+more+`
    }
  }
}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	var output lockedBuffer
	cmd := exec.Command(program, "-p", dir, "-c", file, "-e", "stderr")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("nginx: %s", output.String())
		}
	})
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return "http://" + addr
		}
		if time.Since(begun) > patience {
			t.Fatalf("nginx does not listen: %s", output.String())
		}
	}
}
