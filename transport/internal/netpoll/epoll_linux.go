package netpoll

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// enlist has the epoll set tell of what comes from now on, and of what has come
// already. It is false where it cannot. c.mu is held.
func (c *Conn) enlist() bool {
	c.readable, c.ended = false, false
	op := unix.EPOLL_CTL_MOD
	if c.set == nil {
		if c.set = parked.join(c); c.set == nil {
			return false
		}
		op = unix.EPOLL_CTL_ADD
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | edges, Fd: c.fd, Pad: c.stamp}
	if unix.EpollCtl(c.set.fd, op, int(c.fd), &event) != nil {
		c.delist()
		return false
	}
	return true
}

// edges is EPOLLET: an event for what comes, not for what is there.
const edges = 1 << 31

// delist takes the connection out of the epoll set, before it is closed. c.mu is
// held.
func (c *Conn) delist() {
	if c.set != nil {
		parked.leave(c)
		c.set = nil
	}
}

// withdraw is delist for a connection that stays open. c.mu is held.
func (c *Conn) withdraw() {
	if c.set != nil {
		unix.EpollCtl(c.set.fd, unix.EPOLL_CTL_DEL, int(c.fd), nil)
		c.delist()
	}
}

// event is called when something has come, or the socket can take more. It
// returns the Group for which the caller is to work, if for any.
func (c *Conn) event(stamp int32, events uint32) *Group {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.set == nil || c.stamp != stamp {
		return nil
	}
	if events&^unix.EPOLLOUT != 0 {
		c.readable = true
	}
	if events&^(unix.EPOLLOUT|unix.EPOLLIN) != 0 {
		c.ended = true
	}
	if c.flushes.Load() && events&unix.EPOLLOUT != 0 {
		c.flushSome()
	}
	return c.claimWork()
}

// parked holds the epoll set of all connections of the process, while there are
// any.
var parked epollRegistry

type epollRegistry struct {
	mu  sync.Mutex // guards the rest, and conns and count of the sets
	set *epollSet
}

// An epollSet watches connections, and has goroutines that work for those to
// which something comes. They are leader and followers: the leader waits for an
// event, and then works on it itself, since to wake another goroutine costs more
// than most messages do. Meanwhile a follower watches for the next event, and
// leads if there is one before the leader is done. So a handler that takes its
// time keeps no event from another connection.
//
// Both wait on the Go runtime's poller. Which of the two an event is to wake, the
// kernel knows: the follower waits for a second epoll set, whose only member is
// the first one, and which watches only while nobody leads.
type epollSet struct {
	fd       int
	second   int // the follower's set
	leader   waiter
	follower waiter

	mu    sync.Mutex // guards the rest
	led   bool       // a goroutine waits for the leader's next event
	ended bool
	crew  int // its goroutines

	conns []*Conn // by descriptor
	count int
	stamp int32
}

// A waiter waits for the events of an epoll set on the Go runtime's poller, so
// that it takes no thread.
type waiter struct {
	file *os.File
	raw  syscall.RawConn
}

// join gives c a place in the set, of which there is none without connections.
// It is nil where there can be none.
func (r *epollRegistry) join(c *Conn) *epollSet {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set == nil {
		s, err := newEpollSet()
		if err != nil {
			return nil
		}
		r.set = s
	}
	s := r.set
	for int(c.fd) >= len(s.conns) {
		s.conns = append(s.conns, make([]*Conn, len(s.conns)+64)...)
	}
	s.conns[c.fd] = c
	s.count++
	s.stamp++
	c.stamp = s.stamp
	return s
}

// leave takes c's place.
func (r *epollRegistry) leave(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := c.set
	s.conns[c.fd] = nil
	if s.count--; s.count == 0 {
		r.set = nil
		s.end()
	}
}

func (r *epollRegistry) find(s *epollSet, fd int32) *Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if int(fd) >= len(s.conns) {
		return nil
	}
	return s.conns[fd]
}

// newEpollSet makes a set and its goroutines, which end with it.
func newEpollSet() (*epollSet, error) {
	s := &epollSet{crew: 2}
	var err error
	if s.fd, err = s.leader.open(); err == nil {
		s.second, err = s.follower.open()
	}
	if err == nil {
		err = unix.EpollCtl(s.second, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: whileUnled})
	}
	if err != nil {
		s.close()
		return nil, err
	}
	go s.work()
	go s.follow()
	return s, nil
}

// open makes an epoll set to wait for.
func (w *waiter) open() (fd int, err error) {
	if fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return 0, err
	}
	if err = unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return 0, err
	}
	w.file = os.NewFile(uintptr(fd), "epoll")
	if w.raw, err = w.file.SyscallConn(); err == nil {
		err = w.file.SetReadDeadline(time.Time{}) // it can have none where it cannot be waited for
	}
	return fd, err
}

// end has the goroutines end.
func (s *epollSet) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.leader.file.SetReadDeadline(past)
	s.follower.file.SetReadDeadline(past)
}

// quit is the end of a goroutine. The last one closes the set.
func (s *epollSet) quit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crew--; s.crew == 0 {
		s.close()
	}
}

func (s *epollSet) close() {
	for _, w := range []waiter{s.leader, s.follower} {
		if w.file != nil {
			w.file.Close()
		}
	}
}

// helpAfter is how many events a goroutine finds one after another before it calls
// another to work beside it.
const helpAfter = 16

// work tells connections of events, one at a time, as long as there are any. Then
// it leads, or ends where another does.
func (s *epollSet) work() {
	defer s.quit()
	var e unix.EpollEvent
	looks := 0
	look := func(fd uintptr) bool {
		looks++
		return find(fd, &e)
	}
	for {
		if looks < 2 { // otherwise nothing came for a while, and likely nothing is there
			for n := 1; find(uintptr(s.fd), &e); n++ {
				s.tell(e)
				if n == helpAfter {
					s.help()
				}
			}
		}
		if !s.lead() {
			return
		}
		looks = 0
		err := s.leader.raw.Read(look)
		s.leadNoMore()
		if err != nil {
			return
		}
		s.tell(e)
	}
}

// find takes an event of a set, if there is one. The call does not block, and the
// scheduler is not told of it, which would wake the runtime's monitor each time.
func find(fd uintptr, e *unix.EpollEvent) bool {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(e)), 1, 0, 0, 0)
	return errno == 0 && n > 0
}

// tell tells a connection of an event, and works for it.
func (s *epollSet) tell(e unix.EpollEvent) {
	if c := parked.find(s, e.Fd); c != nil {
		if g := c.event(e.Pad, e.Events); g != nil {
			c.work(g)
		}
	}
}

// lead makes the goroutine the leader, unless there is one or the set ends.
func (s *epollSet) lead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.led || s.ended {
		return false
	}
	s.led = true
	s.watch(0)
	return true
}

func (s *epollSet) leadNoMore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.led = false
	s.watch(whileUnled)
}

// whileUnled is what the follower watches for while nobody leads.
const whileUnled = unix.EPOLLIN | unix.EPOLLONESHOT

// watch has the follower watch for events, or not. s.mu is held.
func (s *epollSet) watch(events uint32) {
	unix.EpollCtl(s.second, unix.EPOLL_CTL_MOD, s.fd, &unix.EpollEvent{Events: events})
}

// follow waits until there is an event and no leader for it. Then another
// goroutine follows, and this one works.
func (s *epollSet) follow() {
	var e unix.EpollEvent
	if s.follower.raw.Read(func(fd uintptr) bool { return find(fd, &e) }) != nil {
		s.quit()
		return
	}
	s.mu.Lock()
	s.crew++
	if !s.led {
		s.watch(whileUnled)
	}
	s.mu.Unlock()
	go s.follow()
	s.work()
}

// help has another goroutine work, if there are fewer than processors. Those that
// block count, too: for them there is the follower.
func (s *epollSet) help() {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := 1 // the follower
	if s.led {
		waiting++
	}
	if s.crew-waiting < runtime.GOMAXPROCS(0) {
		s.crew++
		go s.work()
	}
}
