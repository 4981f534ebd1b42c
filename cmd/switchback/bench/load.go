package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kong"

	"switchback/transport/client"
)

// A load is sessions with a server. Its own methods are for one goroutine;
// each session has another, which receives.
type load struct {
	*meter
	flags    *flags
	options  client.Options
	server   process // or 0: not known
	progress *progress
	protocol string // over the sessions; empty: none
	role     role
	notes    []string

	peers    []*peer // that have opened
	asked    int     // sessions
	openTime time.Duration
	live     atomic.Int64 // sessions that have not ended
	lost     atomic.Int64 // sessions that have, before close
	failures failures
	closing  atomic.Bool
	serving  sync.WaitGroup
}

// A role is what a load does with what comes.
type role interface {
	// receive takes a text of a session, on the goroutine of that.
	receive(p *peer, text []byte)

	// left is called on the same goroutine when the session has ended before
	// close.
	left(p *peer)
}

// A heartbeater is a role that takes the server's heartbeats, on the same goroutine.
type heartbeater interface{ heartbeat(p *peer) }

// A connector is a role that has more to do before a session counts as opened.
type connector interface {
	connect(ctx context.Context, p *peer) error
}

// A peer is one session.
type peer struct {
	index int
	conn  *client.Conn

	ended atomic.Bool  // before close
	beat  atomic.Int64 // when it last brought a frame, by the meter's clock
	texts atomic.Int64 // that it has received, where nothing more is looked at
	ready bool         // owned by receive: messages have begun to come
	next  uint32       // owned by receive: the sequence number of the next one

	mu   sync.Mutex // held while a message is sent
	sent uint32     // messages; the sequence number of the next one
}

// run puts a load on the server and prints what came of it.
func (f *flags) run(app *kong.Kong, run func(l *load) (*report, error)) error {
	l, err := newLoad(f, app.Stderr)
	if err != nil {
		return err
	}
	r, err := run(l)
	l.close()
	if err != nil {
		return err
	}
	return r.print(app.Stdout, f.JSON)
}

// newLoad checks what can be checked before the first session is opened.
func newLoad(f *flags, stderr io.Writer) (*load, error) {
	options, err := f.options()
	if err != nil {
		return nil, err
	}
	l := &load{meter: newMeter(), flags: f, options: options, server: process(f.PID), progress: newProgress(stderr)}
	if l.server != 0 {
		if err := l.server.check(); err != nil {
			return nil, err
		}
	}
	debug.SetGCPercent(400) // the load and the server share processors
	return l, nil
}

func (l *load) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// ownFiles are those that are open beside the sessions' connections.
const ownFiles = 64

// fit is how many of n sessions this process and the server may have open.
// files is how many connections a hundred sessions take.
func (l *load) fit(n, files int) (int, error) {
	l.asked = n
	limit, err := allowFiles(n*files/100 + ownFiles)
	if err != nil {
		return 0, fmt.Errorf("files that may be open: %w", err)
	}
	n = l.cut(n, (limit-ownFiles)*100/files, "this process")
	if l.server == 0 {
		return n, nil
	}
	if spare, err := l.server.spareFiles(); err == nil { // who may not look finds out by connections refused
		n = l.cut(n, (spare-ownFiles)*100/files, "the server")
	}
	return n, nil
}

func (l *load) cut(n, room int, who string) int {
	room = max(room, 1)
	if n <= room {
		return n
	}
	l.note("%d sessions and not %d: %s may open no more files (ulimit -n)", room, n, who)
	return room
}

// open opens n sessions and has role take what they receive. They may be fewer
// when this returns; it fails if there is none.
func (l *load) open(n int, role role) error {
	l.role = role
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second+time.Duration(n)*5*time.Millisecond)
	defer cancel()
	if err := l.openFirst(ctx); err != nil {
		return err
	}
	results := l.openRest(ctx, n-1)
	for range n - 1 {
		r := <-results
		if r.err != nil {
			l.failures.add("not opened", r.err)
			continue
		}
		l.add(r.peer)
		l.progress.say("opened %d of %d sessions", len(l.peers), n)
	}
	l.openTime = time.Since(begun)
	return nil
}

// openFirst opens a session alone, to tell what is wrong with all of them.
func (l *load) openFirst(ctx context.Context) error {
	p, err := l.dial(ctx, l.flags.URL, 0, l.options)
	if err != nil {
		return fmt.Errorf("no session could be opened: %s; is a %s endpoint served at %s, with %s?",
			cause(err), cmp.Or(l.protocol, "SockJS"), l.flags.URL, l.flags.Transport)
	}
	l.add(p)
	return nil
}

type opened struct {
	peer *peer
	err  error
}

// openRest opens n sessions, some at a time, and hands each out.
func (l *load) openRest(ctx context.Context, n int) <-chan opened {
	results := make(chan opened)
	var next atomic.Int64
	for range min(l.flags.Concurrency, n) {
		go func() { // ends when all were tried, which is when ctx is done at the latest
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				p, err := l.dial(ctx, l.flags.URL, int(i), l.options)
				results <- opened{p, err}
			}
		}()
	}
	return results
}

func (l *load) dial(ctx context.Context, url string, index int, o client.Options) (*peer, error) {
	p := &peer{index: index}
	if r, ok := l.role.(heartbeater); ok {
		o.Heartbeat = func() { r.heartbeat(p) }
	}
	var err error
	p.conn, err = client.Dial(ctx, url, o)
	p.beat.Store(l.now())
	if r, ok := l.role.(connector); ok && err == nil {
		if err = r.connect(ctx, p); err != nil {
			p.conn.Close()
		}
	}
	return p, err
}

// add serves a session from now on.
func (l *load) add(p *peer) {
	l.peers = append(l.peers, p)
	l.live.Add(1)
	l.serving.Go(func() { l.serve(p) }) // ends with the session, which close ends
}

func (l *load) serve(p *peer) {
	for {
		text, err := p.conn.Recv(context.Background())
		if err == nil {
			l.role.receive(p, text)
			continue
		}
		if !l.closing.Load() {
			l.lost.Add(1)
			l.failures.add("lost", err)
			p.ended.Store(true)
			l.live.Add(-1)
			l.role.left(p)
		}
		return
	}
}

// wait waits for a time, or until all sessions have ended, or until it is enough.
func (l *load) wait(d time.Duration, doing string, enough func() bool) {
	end := time.Now().Add(d)
	for left := d; left > 0 && l.live.Load() > 0 && !enough(); left = time.Until(end) {
		l.progress.say("%s for %v more, %d sessions", doing, left.Round(time.Second), l.live.Load())
		time.Sleep(min(left, 100*time.Millisecond))
	}
}

func never() bool { return false }

// close ends all sessions and waits until nothing is left of them.
func (l *load) close() {
	l.closing.Store(true)
	var closed sync.WaitGroup
	for _, p := range l.peers {
		closed.Go(func() { p.conn.Close() })
	}
	closed.Wait()
	l.serving.Wait()
	l.options.HTTPClient.CloseIdleConnections()
	l.progress.clear()
}
