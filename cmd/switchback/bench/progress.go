package bench

import (
	"fmt"
	"io"
	"os"
	"time"
)

const (
	quietFor  = 2 * time.Second        // nothing is said in short runs
	redraw    = 200 * time.Millisecond // of the line on a terminal
	lineEvery = 10 * time.Second       // elsewhere
)

// A progress tells how far a long run is: on a terminal in one line that
// changes, elsewhere in a line now and then. One goroutine uses it.
type progress struct {
	w        io.Writer
	terminal bool
	next     time.Time
	drawn    bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, next: time.Now().Add(quietFor)}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// say may be called as often as there is something new.
func (p *progress) say(format string, args ...any) {
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	text := fmt.Sprintf(format, args...)
	if !p.terminal {
		p.next = now.Add(lineEvery)
		fmt.Fprintf(p.w, "switchback: %s\n", text)
		return
	}
	p.next = now.Add(redraw)
	p.drawn = true
	fmt.Fprintf(p.w, "\r\x1b[K%s", text)
}

// clear takes the line off a terminal.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
