package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soak is set by make soak: tests then bear the whole load.
var soak = os.Getenv("SOAK") != ""

// rss is the resident memory of a process now, and at its peak, in bytes.
func rss(t *testing.T, pid int) (now, peak int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	field := func(name string) int64 {
		_, rest, _ := strings.Cut(string(status), name+":")
		kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		return kib << 10
	}
	return field("VmRSS"), field("VmHWM")
}

// A usage is what a server takes while it is quiet; sizes are in bytes.
type usage struct {
	goroutines, heap int
	resident         int64
}

// usage is that of a server, once so many sessions and nothing else is there.
func (p *process) usage(admin string, sessions int) (u usage) {
	t := p.t
	t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		_, listed, _ := administer(t, admin, "", "sessions", "--json")
		if n := strings.Count(listed, "\n"); n == sessions {
			break
		} else if time.Since(begun) > patience {
			t.Fatalf("%d sessions are left, of which %d are the clients'", n, sessions)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	text := collect(t, admin)
	value := func(name string) int { return int(metric(t, text, name)) }
	u.goroutines, u.heap = value("go_goroutines"), value("go_memstats_heap_alloc_bytes")
	u.resident, _ = rss(t, p.cmd.Process.Pid)
	return u
}

// collect has a server collect its garbage, and returns its metrics after that.
func collect(t *testing.T, admin string) (metrics string) {
	t.Helper()
	collections := func() float64 {
		metrics = fetch(t, http.DefaultClient, admin+"metrics")
		return metric(t, metrics, "go_gc_duration_seconds_count")
	}
	before := collections()
	const times = 2 // what is pooled outlives one
	for range times {
		r, _ := http.NewRequest(http.MethodGet, admin+"debug/pprof/heap?gc=1", nil)
		r.Header.Set("Authorization", "Bearer "+adminToken)
		res, err := http.DefaultClient.Do(r)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("collecting garbage: %v %v", res, err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	if n := collections() - before; n < times {
		t.Fatalf("garbage was collected %v times: what there is of it counts as live", n)
	}
	return metrics
}

// metric is the value of one, by its name and labels.
func metric(t *testing.T, metrics, name string) float64 {
	t.Helper()
	_, value, is := strings.Cut(metrics, "\n"+name+" ")
	value, _, _ = strings.Cut(value, "\n")
	n, err := strconv.ParseFloat(value, 64)
	if !is || err != nil {
		t.Fatalf("no %s", name)
	}
	return n
}

// restsAt holds that what a server takes after a load is near what it took before. It gives
// memory back once it is quiet: see tidy.
func (p *process) restsAt(before usage, admin string, sessions int) {
	t := p.t
	t.Helper()
	goroutines, heap, resident := before.goroutines+10, before.heap+before.heap/4+1<<20, before.resident+before.resident/2+16<<20
	after := p.usage(admin, sessions)
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(time.Second) {
		if after.goroutines <= goroutines && after.heap <= heap && after.resident <= resident {
			break
		}
		after = p.usage(admin, sessions)
	}
	t.Logf("goroutines %d and then %d; heap %d KiB and then %d KiB; RSS %d MiB and then %d MiB",
		before.goroutines, after.goroutines, before.heap>>10, after.heap>>10, before.resident>>20, after.resident>>20)
	if after.goroutines > goroutines {
		t.Errorf("%d goroutines, %d before", after.goroutines, before.goroutines)
	}
	if after.heap > heap {
		t.Errorf("a heap of %d KiB, %d before", after.heap>>10, before.heap>>10)
	}
	if after.resident > resident {
		t.Errorf("resident memory is %d MiB, %d before", after.resident>>20, before.resident>>20)
	}
}

// underLimit starts a server with a memory limit.
func underLimit(t *testing.T, limit int64) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "switchback.yaml")
	text := fmt.Sprintf("addr: 127.0.0.1:0\nlog_level: warn\nmemory_limit: %d\nendpoints:\n  - {path: /echo, handler: echo}\n  - {path: /broadcast, handler: broadcast}\n", limit)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binaryFile(t), "serve", "--config", file)
	cmd.Env = []string{}
	return startCommand(t, cmd)
}

// binaryFile is the command built as users have it, once: the race detector takes memory.
func binaryFile(t *testing.T) string {
	t.Helper()
	name, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// builtDir is where it is, until all tests have ended; empty before.
var builtDir string

var built = sync.OnceValues(func() (name string, err error) {
	if builtDir, err = os.MkdirTemp("", "switchback"); err != nil {
		return "", err
	}
	name = filepath.Join(builtDir, "switchback")
	if out, err := exec.Command("go", "build", "-o", name, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v\n%s", err, out)
	}
	return name, nil
})

func (p *process) dial(t *testing.T, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	addr := strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, request, addr)
	return c, bufio.NewReaderSize(c, 512)
}

const webSocketRequest = " HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// webSocket opens a session, whose open frame it reads.
func (p *process) webSocket(t *testing.T, path string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, r := p.dial(t, "GET "+path+"/000/s/websocket"+webSocketRequest)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v, %v", res, err)
	}
	if frame := readFrame(r, nil); frame != "o" {
		t.Fatalf("the open frame is %q", frame)
	}
	return c, r
}

// readFrame reads a frame of the server's, and returns how it begins: what is over 100
// bytes it discards, and counts in size.
func readFrame(r *bufio.Reader, size *atomic.Int64) string {
	var head [10]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return ""
	}
	n := int64(head[1])
	switch n {
	case 126:
		io.ReadFull(r, head[2:4])
		n = int64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		io.ReadFull(r, head[2:10])
		n = int64(binary.BigEndian.Uint64(head[2:]))
	}
	begin := make([]byte, min(n, 100))
	if _, err := io.ReadFull(r, begin); err != nil {
		return ""
	}
	if size != nil {
		size.Add(n)
	}
	if _, err := io.CopyN(io.Discard, r, n-int64(len(begin))); err != nil {
		return ""
	}
	return string(begin)
}

// maskedFrame is a frame of a client's, with a mask of zeros, of which the first bytes
// of the payload are there.
func maskedFrame(payload []byte, size int) []byte {
	f := []byte{0x81}
	switch {
	case size <= 125:
		f = append(f, 0x80|byte(size))
	case size <= 0xffff:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(size))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(size))
	}
	return append(append(f, 0, 0, 0, 0), payload...)
}

// One client sends the largest message, of characters that JSON escapes, to a room whose
// clients read: each gets it, nobody is closed, and memory is within the limit.
func TestOneMessageToARoomStaysWithinMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	clients := 300
	if soak {
		clients = 5000
	}
	message := bytes.Repeat([]byte{1}, 507<<10) // 3 MiB in JSON
	for _, limit := range []int64{64 << 20, 1 << 30} {
		t.Run(fmt.Sprint(limit>>20, "MiB"), func(t *testing.T) {
			p := underLimit(t, limit)
			var got atomic.Int64
			var closed atomic.Int32
			var readers sync.WaitGroup
			for range clients {
				_, r := p.webSocket(t, "/broadcast")
				readers.Go(func() {
					if !strings.HasPrefix(readFrame(r, &got), `a["\u0001`) {
						closed.Add(1)
					}
				})
			}
			sender, sent := p.dial(t, "GET /broadcast/websocket"+webSocketRequest)
			if res, err := http.ReadResponse(sent, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("handshake: %v, %v", res, err)
			}
			idle, _ := rss(t, p.cmd.Process.Pid)
			begun := time.Now()
			sender.Write(maskedFrame(message, len(message)))
			readers.Wait()
			_, peak := rss(t, p.cmd.Process.Pid)
			t.Logf("%d clients, limit %d MiB: %.1f GiB read in %.1f s; %d closed; RSS %d MiB idle, %d MiB at most",
				clients, limit>>20, float64(got.Load())/(1<<30), time.Since(begun).Seconds(), closed.Load(), idle>>20, peak>>20)
			if closed.Load() > 0 {
				t.Errorf("%d of %d readers were closed", closed.Load(), clients)
			}
			if most := idle + limit*13/10; peak > most {
				t.Errorf("resident memory was %d MiB, want at most %d", peak>>20, most>>20)
			}
		})
	}
}

// What is being received counts: bodies and WebSocket messages that are not whole.
func TestUnfinishedMessagesStayWithinMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	clients := 300
	for _, limit := range []int64{64 << 20, 1 << 30} {
		t.Run(fmt.Sprint(limit>>20, "MiB"), func(t *testing.T) {
			p := underLimit(t, limit)
			const size = 1 << 20
			most := bytes.Repeat([]byte("x"), size-1000)
			idle, _ := rss(t, p.cmd.Process.Pid)
			var refused, whole atomic.Int32
			var senders sync.WaitGroup
			for i := range clients {
				begin, end := fmt.Appendf(nil, "POST /echo/000/s%d/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", i, size), "503"
				var c net.Conn
				var r *bufio.Reader
				if i%2 == 0 {
					c, r = p.webSocket(t, "/echo")
					begin, end = maskedFrame(nil, size), "c[1013"
				} else {
					c, r = p.dial(t, fmt.Sprintf("POST /echo/000/s%d/xhr HTTP/1.1\r\nHost: %%s\r\nContent-Length: 0\r\n\r\n", i))
					res, err := http.ReadResponse(r, nil)
					if err != nil || res.StatusCode != http.StatusOK {
						t.Fatalf("opening: %v, %v", res, err)
					}
					io.Copy(io.Discard, res.Body)
				}
				senders.Go(func() {
					c.SetDeadline(time.Now().Add(patience))
					c.Write(begin)
					if _, err := c.Write(most); err == nil {
						whole.Add(1)
					}
					c.SetReadDeadline(time.Now().Add(2 * time.Second))
					if answer, _ := r.ReadString(']'); strings.Contains(answer, end) {
						refused.Add(1)
					}
				})
			}
			senders.Wait()
			_, peak := rss(t, p.cmd.Process.Pid)
			t.Logf("%d unfinished messages of 1 MiB, limit %d MiB: %d refused; RSS %d MiB idle, %d MiB at most", clients, limit>>20, refused.Load(), idle>>20, peak>>20)
			if peak > idle+limit*13/10 {
				t.Errorf("resident memory was %d MiB, want at most %d", peak>>20, (idle+limit*13/10)>>20)
			}
			if limit < int64(clients*size) && refused.Load() == 0 {
				t.Error("nobody was told that the server is out of memory")
			}
		})
	}
}

// room opens a publisher and so many readers of /broadcast, each of which gets every message
// of publish in order once begin is closed. readers is done when all have.
func (p *process) room(t *testing.T, clients, messages int, begin chan struct{}) (publish func(), readers *sync.WaitGroup, wrong *atomic.Int32) {
	readers, wrong = new(sync.WaitGroup), new(atomic.Int32)
	for range clients {
		_, r := p.webSocket(t, "/broadcast")
		readers.Go(func() {
			<-begin
			r := bufio.NewReaderSize(r, 64<<10)
			for i := range messages {
				for range 1 + min(i, 1) { // the end of the one before, and its beginning
					for err := bufio.ErrBufferFull; err == bufio.ErrBufferFull; {
						_, err = r.ReadSlice('"')
					}
				}
				if number, _ := r.Peek(2); string(number) != fmt.Sprintf("%02d", i) {
					wrong.Add(1)
					return
				}
			}
		})
	}
	sender, sent := p.dial(t, "GET /broadcast/websocket"+webSocketRequest)
	if res, err := http.ReadResponse(sent, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v, %v", res, err)
	}
	go io.Copy(io.Discard, sent) // its own copies
	return func() {
		for i := range messages {
			message := append(fmt.Appendf(nil, "%02d", i), bytes.Repeat([]byte{1}, 500<<10)...)
			sender.Write(maskedFrame(message, len(message)))
		}
	}, readers, wrong
}

// A publisher that is faster than its room waits: who reads late gets every message, in
// order, and memory is within the limit meanwhile.
func TestPublisherWaitsWithinMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const limit, clients, messages = 128 << 20, 30, 60
	p := underLimit(t, limit)
	begin := make(chan struct{})
	publish, readers, wrong := p.room(t, clients, messages, begin)
	idle, _ := rss(t, p.cmd.Process.Pid)
	readers.Go(publish)
	time.Sleep(time.Second) // nobody reads
	close(begin)
	readers.Wait()
	_, peak := rss(t, p.cmd.Process.Pid)
	t.Logf("%d messages of 3 MiB to %d clients that read late, limit %d MiB: RSS %d MiB idle, %d MiB at most", messages, clients, limit>>20, idle>>20, peak>>20)
	if wrong.Load() > 0 {
		t.Errorf("%d of %d readers have not got all", wrong.Load(), clients)
	}
	if most := idle + limit*13/10; peak > most {
		t.Errorf("resident memory was %d MiB, want at most %d", peak>>20, most>>20)
	}
}

// A client that trickles, and would hold all that the others have taken long ago, is closed
// before a publisher is refused.
func TestTrickleStopsNobodyWithinMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const limit, clients, messages = 64 << 20, 3, 60
	p := underLimit(t, limit)
	c, r := p.webSocket(t, "/broadcast")
	all, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for b := make([]byte, 1000); ; {
			if _, err := r.Read(b); err != nil {
				ended <- err
				return
			}
			select {
			case <-all:
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	begin := make(chan struct{})
	close(begin)
	publish, readers, wrong := p.room(t, clients, messages, begin)
	begun := time.Now()
	readers.Go(publish)
	readers.Wait()
	t.Logf("%d messages of 3 MiB beside a client that reads 50 KB/s: %.1f s", messages, time.Since(begun).Seconds())
	if wrong.Load() > 0 {
		t.Errorf("%d of %d readers have not got all", wrong.Load(), clients)
	}
	close(all)
	c.SetReadDeadline(time.Now().Add(patience))
	if err := <-ended; os.IsTimeout(err) {
		t.Error("the client was not closed")
	}
}
