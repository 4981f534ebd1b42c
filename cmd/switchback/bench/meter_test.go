package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"switchback/transport/client"
)

func TestMessageIsReadAsItWasWritten(t *testing.T) {
	m := message{tag: 0xfedcba98, seq: 7, at: 1 << 62}
	text := newText(headerSize + 5)
	m.write(text)
	if got, ok := read(text); !ok || got != m || !strings.HasSuffix(string(text), "xxxxx") {
		t.Errorf("%s is %+v", text, got)
	}
	for i := range headerSize {
		if _, ok := read(text[:i]); ok {
			t.Errorf("%s is read", text[:i])
		}
		broken := []byte(string(text))
		broken[i] = 'x'
		if _, ok := read(broken); ok {
			t.Errorf("%s is read", broken)
		}
	}
}

func TestLatencyIsOfTheMeasuredTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter()
		due := func() {
			at := m.now()
			time.Sleep(time.Duration(at)) // each is twice as late as the one before
			m.receive(int(at), at)
		}
		time.Sleep(time.Millisecond)
		due()
		m.from.Store(m.now())
		due()
		due()
		m.until.Store(m.now())
		due()
		if got := m.latency(); m.received() != 4 || got == nil || got.P50 != 2 || got.Max < 4 || got.Max > 4.01 {
			t.Errorf("%d received, latency %+v", m.received(), got)
		}
	})
}

func TestWithoutMessagesThereIsNoLatency(t *testing.T) {
	if got := newMeter().latency(); got != nil {
		t.Errorf("%+v", got)
	}
}

// Whoever has left is not waited for.
func TestLastSessionToReceiveOrToLeaveCompletesAMessage(t *testing.T) {
	f := &fanout{load: &load{meter: newMeter()}, tag: 5, size: headerSize, closed: true, probing: true, complete: make(chan struct{}, 1)}
	f.seq = 1
	text := newText(headerSize)
	peers := []*peer{{index: 0}, {index: 1}, {index: 2}}
	message{tag: 6}.write(text)
	for _, p := range peers {
		f.receive(p, text)
		f.receive(p, text)
	}
	f.missing = f.ready
	message{tag: 5}.write(text)
	f.receive(peers[0], text)
	f.left(peers[1])
	if len(f.complete) != 0 {
		t.Error("complete without the last session")
	}
	f.receive(peers[2], text)
	if len(f.complete) != 1 || f.abandoned.Load() != 1 || f.ready != 2 || f.wrong.Load() != 0 {
		t.Errorf("%d complete, %d abandoned, %d ready, %d wrong", len(f.complete), f.abandoned.Load(), f.ready, f.wrong.Load())
	}
	f.receive(peers[0], text)
	if f.wrong.Load() != 1 {
		t.Error("a message that came twice is not wrong")
	}
}

func TestOnlyABroadcastHasReceivers(t *testing.T) {
	f := &fanout{load: &load{flags: &flags{URL: "http://127.0.0.1/echo"}}, ready: 1}
	if err := f.endProbing(); err == nil {
		t.Error("the publisher alone is enough")
	}
	f.ready = 2
	f.live.Store(5)
	if err := f.endProbing(); err != nil || len(f.notes) != 1 || !strings.HasPrefix(f.notes[0], "3 sessions received nothing") {
		t.Errorf("%v %q", err, f.notes)
	}
}

func TestOwnProcessIsMeasured(t *testing.T) {
	p := process(os.Getpid())
	before, err := p.cpu()
	after, err2 := before, error(nil)
	for begun := time.Now(); after-before < 2*tick && time.Since(begun) < 20*time.Second; {
		after, err2 = p.cpu()
	}
	memory, err3 := p.memory()
	rough, err4 := p.roughMemory()
	files, err5 := p.spareFiles()
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	if after-before < 2*tick || memory < 1<<20 || rough < memory/2 || rough > memory*2 || files < 10 {
		t.Errorf("%v, %d and %d bytes, %d files", after-before, memory, rough, files)
	}
}

func TestSizesOfProcAreRead(t *testing.T) {
	if n, err := kilobytes("Name:\tx\nVmRSS:\t   12 kB\nVmHWM: 13 kB\n", "VmRSS:"); n != 12<<10 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := kilobytes("Name:\tx\n", "VmRSS:"); err == nil {
		t.Error("a line that is not there is read")
	}
}

func TestCauseIsTheSameForAllSessions(t *testing.T) {
	end := &client.CloseError{Code: 3000, Reason: "Go away!"}
	refused := fmt.Errorf("127.0.0.1:4711: %w", syscall.ECONNREFUSED)
	for want, err := range map[string]error{
		"3000 Go away!":                 end,
		"connection refused":            refused,
		"1006 Lost: connection refused": &client.CloseError{Code: 1006, Reason: "Lost", Err: fmt.Errorf("%w: %w", io.EOF, refused)},
	} {
		if got := cause(err); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

func TestReasonsAreLimited(t *testing.T) {
	var f failures
	for i := range 100 {
		f.add("lost", fmt.Errorf("reason %d", i))
	}
	if all := f.all(); len(all) != maxFailures+1 || all["lost: other reasons"] != 100-maxFailures {
		t.Errorf("%v", all)
	}
}

func TestProgressIsSaidNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := newProgress(&out)
		for i := range 250 {
			p.say("step %d", i)
			time.Sleep(100 * time.Millisecond)
		}
		p.clear()
		want := "switchback: step 20\nswitchback: step 120\nswitchback: step 220\n"
		if out.String() != want {
			t.Errorf("%s", out.String())
		}
	})
}

func TestProgressIsOneLineOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := newProgress(&out)
		p.terminal = true
		p.clear()
		for i := range 24 {
			p.say("step %d", i)
			time.Sleep(100 * time.Millisecond)
		}
		p.clear()
		if want := "\r\x1b[Kstep 20\r\x1b[Kstep 22\r\x1b[K"; out.String() != want {
			t.Errorf("%q", out.String())
		}
	})
}
