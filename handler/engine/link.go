package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// run keeps a connection until Close. met is closed when the first has heard of the others.
func (e *Engine) run(met chan struct{}) {
	wait, told := redialFirst, false
	for e.ctx.Err() == nil {
		most := redialLast
		conn, err := e.dial()
		if err == nil {
			e.log.Info("engine: connected", "node", nodeName(e.node))
			begun := time.Now()
			if err = e.serve(conn, met); errors.Is(err, ErrMissed) {
				e.lose(nil, err.Error())
			}
			told = false
			if time.Since(begun) > announceEvery {
				wait = redialFirst
			} else {
				most = redialRefused
			}
		}
		if e.ctx.Err() != nil {
			return
		}
		if !told {
			e.log.Warn("engine: not connected; trying until it is", "error", err)
			told = true
		}
		select {
		case <-time.After(wait + rand.N(wait)):
		case <-e.ctx.Done():
		}
		wait = min(2*wait, most)
	}
}

func (e *Engine) dial() (Conn, error) {
	ctx, cancel := context.WithTimeout(e.ctx, dialWithin)
	defer cancel()
	return e.wire.Dial(ctx, e.receive)
}

// A link is a connection that is served: have is what is subscribed to on it.
type link struct {
	*Engine
	conn   Conn
	have   map[string]bool
	failed chan struct{} // closed where sending has failed
	err    error         // why
}

// serve has a connection do all that there is, until it breaks, or until Close.
func (e *Engine) serve(conn Conn, met chan struct{}) error {
	l := &link{Engine: e, conn: conn, have: make(map[string]bool), failed: make(chan struct{})}
	defer conn.Close()
	e.begin()
	e.most.Store(int64(conn.MaxSize()))
	if err := conn.Subscribe([]string{nodesChannel, e.own}); err != nil {
		return err
	}
	if err := l.subscribe(); err != nil {
		return err
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { defer close(stopped); l.send(stop) }() // ends with stop, or when the connection fails
	e.setUp(true)
	l.greet(met)
	err := l.keep()
	e.setUp(false)
	close(stop)
	select {
	case <-stopped:
	case <-time.After(drainWithin):
		conn.Close() // it waits for the network
		<-stopped
	}
	return err
}

func (e *Engine) setUp(up bool) {
	e.mu.Lock()
	e.up, e.since = up, time.Now()
	waiting := e.waiting
	e.waiting = nil
	e.mu.Unlock()
	e.outbox.setDrops(false)
	e.stats.Connected.Store(0)
	if up {
		e.stats.Connected.Store(1)
		e.stats.Connections.Add(1)
	}
	release(waiting)
}

func release(waiting []chan struct{}) {
	for _, w := range waiting {
		close(w)
	}
}

// greet waits, on the first connection, until all others have announced themselves.
func (l *link) greet(met chan struct{}) {
	select {
	case <-met:
		return
	default:
	}
	select {
	case <-time.After(greetFor):
	case <-l.conn.Broken():
	case <-l.ctx.Done():
	}
	close(met)
}

// keep brings subscriptions up to date, and asks who is to be asked.
func (l *link) keep() error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if err := l.settle(); err != nil {
			return err
		}
		select {
		case <-l.conn.Broken():
			return l.conn.Err()
		case <-l.failed:
			return l.err
		case <-l.ctx.Done():
			return nil
		case <-l.kick:
		case <-tick.C:
			l.watch()
		}
	}
}

// settle subscribes to what has been asked for since the last time, for all who have asked at
// once, and has all others give a sign.
func (l *link) settle() error {
	l.mu.Lock()
	waiting := l.waiting
	l.waiting = nil
	unsure := false
	for _, m := range l.members {
		unsure = unsure || m.unsure && !m.silent
	}
	l.mu.Unlock()
	defer func() { release(waiting) }()
	if err := l.subscribe(); err != nil {
		return err
	}
	if len(waiting) > 0 || unsure {
		l.ask()
	}
	return nil
}

// subscribe brings the connection's subscriptions in line with those that are wanted.
func (l *link) subscribe() error {
	var more, less []string
	l.mu.Lock()
	for topic := range l.changed {
		_, want := l.wanted[topic]
		switch {
		case want && !l.have[topic]:
			l.have[topic] = true
			more = append(more, topicChannel(topic))
		case !want && l.have[topic]:
			delete(l.have, topic)
			less = append(less, topicChannel(topic))
		}
	}
	clear(l.changed)
	l.mu.Unlock()
	if len(more) > 0 {
		if err := l.conn.Subscribe(more); err != nil {
			return err
		}
	}
	if len(less) > 0 {
		return l.conn.Unsubscribe(less)
	}
	return nil
}

// ask has all nodes that are known answer, and send again what may have been missed. Who does
// not is silent from then on.
func (l *link) ask() {
	r := &round{mark: rand.Uint64(), waiting: make(map[uint64]struct{}), done: make(chan struct{})}
	l.mu.Lock()
	for _, m := range l.members {
		if !m.silent {
			r.waiting[m.node] = struct{}{}
		}
	}
	if len(r.waiting) == 0 {
		l.mu.Unlock()
		return
	}
	l.round, l.asking = r, true
	l.mu.Unlock()
	signal(l.wake)
	inTime := l.await(r)
	var silent []*member
	l.mu.Lock()
	l.round = nil
	for node := range r.waiting {
		m := l.members[node]
		if sends := time.Since(m.resent) <= answerWithin/2; !inTime && !sends {
			m.silent = true
			l.doubt(m)
			if m.isNews() {
				silent = append(silent, m)
			}
		}
	}
	l.mu.Unlock()
	l.tellSilent(silent)
}

// await waits for a round, but not for who is not heard meanwhile, and asks again what may have
// met nobody: another node may not be connected yet. It returns false where somebody has not
// answered in time.
func (l *link) await(r *round) (inTime bool) {
	end := time.NewTimer(answerWithin)
	defer end.Stop()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		select {
		case <-r.done:
			return true
		case <-end.C:
			return false
		case <-l.conn.Broken():
			return true
		case <-l.failed:
			return true
		case <-l.ctx.Done():
			return true
		case <-again.C:
			l.watch()
			l.mu.Lock()
			l.asking = true
			l.mu.Unlock()
			signal(l.wake)
		}
	}
}
