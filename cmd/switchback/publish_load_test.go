package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"switchback/handler/engine/enginetest"
)

// Publications by the API reach all who have subscribed, and nobody is closed as slow: many
// topics with a subscriber each, in batches, and one topic with many. In make soak at full
// size, where it says how many a second there were.
func TestPublishLoadIsDelivered(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	topics, batches, rate, seconds := 50, 40, 100, 1
	if soak {
		topics, batches, rate, seconds = 1000, 1000, 300, 10
	}
	admin := enginetest.FreeAddress(t)
	file := filepath.Join(t.TempDir(), "conf.yaml")
	if err := os.WriteFile(file, []byte("log_level: warn\nendpoints: [{path: /ws, handler: stomp}]\nstomp: {topics: [/topic]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binaryFile(t), "serve", "--config", file, "--addr", "127.0.0.1:0", "--admin-addr", admin)
	cmd.Env = []string{"SWITCHBACK_ADMIN_TOKEN=sesame"}
	p := startCommand(t, cmd)

	var received, lost atomic.Int64
	for i := range topics {
		c, r := p.dial(t, "GET /ws/websocket"+webSocketRequest)
		if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("handshake: %v, %v", res, err)
		}
		for _, frame := range []string{
			"CONNECT\naccept-version:1.2\n\n\x00",
			fmt.Sprintf("SUBSCRIBE\nid:a\ndestination:/topic/%d\n\n\x00SUBSCRIBE\nid:b\ndestination:/topic/all\nreceipt:r\n\n\x00", i),
		} {
			c.Write(maskedFrame([]byte(frame), len(frame)))
			if got := readFrame(r, nil); !strings.HasPrefix(got, "CONNECTED") && !strings.HasPrefix(got, "RECEIPT") {
				t.Fatalf("got %q", got)
			}
		}
		go func() {
			for {
				frame := readFrame(r, nil)
				if !strings.HasPrefix(frame, "MESSAGE") {
					lost.Add(1) // at the end of the test, too
					return
				}
				received.Add(1)
			}
		}()
	}
	publish := func(body []byte, want int) {
		r, _ := http.NewRequest(http.MethodPost, "http://"+admin+"/api/publish", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer sesame")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		if text, _ := io.ReadAll(res.Body); strings.TrimSpace(string(text)) != fmt.Sprintf(`{"published":%d}`, want) {
			t.Errorf("%d %s", res.StatusCode, text)
		}
	}
	arrived := func(n int64) time.Duration {
		t.Helper()
		begun := time.Now()
		for received.Load() < n {
			if time.Since(begun) > patience {
				t.Fatalf("%d of %d have arrived", received.Load(), n)
			}
			time.Sleep(time.Millisecond)
		}
		return time.Since(begun)
	}

	const size = 100
	begun := time.Now()
	var publishers sync.WaitGroup
	var next atomic.Int64
	for range 4 {
		publishers.Go(func() {
			for n := next.Add(1); n <= int64(batches); n = next.Add(1) {
				var batch []map[string]any
				for i := range size {
					batch = append(batch, map[string]any{"destination": fmt.Sprint("/topic/", (int(n)*size+i)%topics), "payload": i})
				}
				body, _ := json.Marshal(map[string]any{"batch": batch})
				publish(body, size)
			}
		})
	}
	publishers.Wait()
	took := time.Since(begun)
	after := arrived(int64(batches * size))
	t.Logf("%d publications in batches of %d to %d topics of one subscriber: %.0f a second, the last %d ms after its answer",
		batches*size, size, topics, float64(batches*size)/took.Seconds(), after.Milliseconds())

	before := received.Load()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for range rate * seconds {
		<-tick.C
		publish([]byte(`{"destination":"/topic/all","payload":{"unread":1}}`), 1)
	}
	after = arrived(before + int64(rate*seconds*topics))
	t.Logf("%d publications a second to %d subscribers of one topic for %d s: the last %d ms after its answer", rate, topics, seconds, after.Milliseconds())
	if lost.Load() > 0 {
		t.Errorf("%d clients were closed", lost.Load())
	}
}
