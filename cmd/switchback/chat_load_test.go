package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"switchback/handler/engine/enginetest"
	"switchback/handler/history"
	"switchback/handler/history/postgres"
	"switchback/handler/history/postgrestest"
	"switchback/handler/history/sqlite"
	"switchback/transport/client"
	admin "switchback/web/admin/client"
)

// A chatReply is what a chat says, as far as these tests look at it.
type chatReply struct {
	Type, Code, Room, Offset, User, ID, Text string

	Gap, More bool
	Messages  []chatReply
}

// An utterance is a message as it was heard, or is stored: the n-th of a talker's.
type utterance struct {
	at     history.Position
	talker int
	n      int
}

// A crowd is clients of a chat that talk in rooms, whatever happens to the server and to its
// store. Each is in two rooms, joins them again after its last message when its connection is
// lost, and says again what was not acknowledged.
type crowd struct {
	t       *testing.T
	url     string
	rooms   int
	pace    time.Duration // between two messages of a talker
	talkers []*talker

	mu        sync.Mutex // guards the rest
	begun     time.Time
	ended     time.Time
	measuring bool // how long messages take is noted
	failed    int
}

// A talker is one of them.
type talker struct {
	crowd     *crowd
	number    int
	transport string
	rooms     [2]string
	wake      chan struct{} // there may be something to say

	mu        sync.Mutex // guards the rest
	said      int        // messages that are made up; their ids count from 1
	texts     map[int]string
	joins     []int        // rooms that are to be joined again
	waiting   []int        // of the messages: to be sent in this session
	open      map[int]bool // sent in this session, and not answered
	sent      map[int]bool // ever
	retry     time.Time    // nothing is sent before, since the store is not available
	trying    bool         // one message at a time, since then
	acked     map[int]string
	heard     map[string][]utterance
	last      map[string]history.Position
	joined    int     // rooms in which this session is
	ends      []error // of sessions
	resent    int
	refused   int
	delays    []time.Duration
	lastHeard time.Time
	pause     time.Duration // the longest without a message
}

// window is how many messages of a talker may be unanswered.
const window = 20

// settleTime is far more than a crowd takes to have all that was said.
const settleTime = 3 * time.Minute

// gather has clients join their rooms, with nothing said yet.
func gather(t *testing.T, url string, clients, rooms, rate int) *crowd {
	c := &crowd{t: t, url: url, rooms: rooms, pace: time.Second * time.Duration(clients) / time.Duration(rate)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i := range clients {
		k := &talker{
			crowd: c, number: i, transport: []string{"websocket", "xhr-streaming", "xhr-polling"}[i%3],
			rooms: [2]string{roomName(i % rooms), roomName((i + 1) % rooms)}, wake: make(chan struct{}, 1),
			texts: make(map[int]string), open: make(map[int]bool), sent: make(map[int]bool), acked: make(map[int]string),
			heard: make(map[string][]utterance), last: make(map[string]history.Position),
		}
		c.talkers = append(c.talkers, k)
		running.Go(func() { k.run(ctx) }) // until the test has ended
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	c.wait("are in their rooms", (*talker).isThere)
	return c
}

func roomName(i int) string { return "room" + strconv.Itoa(i) }

// begin has them talk, until end.
func (c *crowd) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = time.Now()
}

func (c *crowd) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = time.Now()
}

// measure has noted how long messages take for a time.
func (c *crowd) measure(d time.Duration) {
	set := func(on bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.measuring = on
	}
	set(true)
	time.Sleep(d)
	set(false)
}

func (c *crowd) isMeasuring() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.measuring
}

// due is how many messages a talker is to have made up, and when there is another. Talkers
// take turns.
func (c *crowd) due(number int) (n int, next time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun.IsZero() {
		return 0, c.pace / 4
	}
	until := c.ended
	if until.IsZero() {
		until = time.Now()
	}
	turn := until.Sub(c.begun) + c.pace*time.Duration(number)/time.Duration(len(c.talkers))
	return int(turn / c.pace), c.pace - turn%c.pace
}

// fail tells of what must not be; of much of that it tells the beginning.
func (c *crowd) fail(format string, args ...any) {
	c.mu.Lock()
	c.failed++
	n := c.failed
	c.mu.Unlock()
	if n <= 10 {
		c.t.Errorf(format, args...)
	}
}

// wait waits until something is so of all talkers.
func (c *crowd) wait(what string, is func(*talker) bool) {
	c.t.Helper()
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		missing := 0
		for _, k := range c.talkers {
			if !is(k) {
				missing++
			}
		}
		switch {
		case missing == 0:
			return
		case c.t.Failed(), time.Since(begun) > settleTime:
			c.t.Fatalf("%d of %d talkers are not those who %s", missing, len(c.talkers), what)
		}
	}
}

func (k *talker) isThere() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.joined >= len(k.rooms)
}

// isAnswered tells whether all that the talker has said is acknowledged.
func (k *talker) isAnswered() bool {
	due, _ := k.crowd.due(k.number)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.said >= due && len(k.acked) == k.said
}

func (k *talker) user() string { return "user" + strconv.Itoa(k.number) }

// run has one session after the other.
func (k *talker) run(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := client.Dial(ctx, k.crowd.url+"?user="+k.user(), client.Options{Transports: []string{k.transport}, OpenTimeout: patience})
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(50*time.Millisecond + rand.N(100*time.Millisecond)):
			}
			continue
		}
		k.session(ctx, conn)
	}
}

func (k *talker) session(ctx context.Context, conn *client.Conn) {
	joins := k.enter()
	ctx, end := context.WithCancel(ctx)
	var talking sync.WaitGroup
	talking.Go(func() { k.talk(ctx, conn, joins) })
	for {
		text, err := conn.Recv(ctx)
		if err != nil {
			k.left(err)
			break
		}
		k.hear(text)
	}
	end()
	conn.Close()
	talking.Wait()
}

// left is told how a session has ended.
func (k *talker) left(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ends = append(k.ends, err)
}

// enter begins a session: what is unanswered is to be said again, after the rooms are joined.
func (k *talker) enter() (joins []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.joined, k.joins = 0, nil
	k.waiting = append(slices.Sorted(maps.Keys(k.open)), k.waiting...)
	clear(k.open)
	for i := range k.rooms {
		joins = append(joins, k.join(i))
	}
	return joins
}

// join is the request to be in the i-th room, after the last message that the talker has of it.
// k.mu is held.
func (k *talker) join(i int) string {
	from := `"limit":0`
	if at, been := k.last[k.rooms[i]]; been {
		from = fmt.Sprintf(`"since":%q`, at)
	}
	return fmt.Sprintf(`{"type":"join","room":%q,"id":"join-%d",%s}`, k.rooms[i], i, from)
}

// talk says what is to be said, until the session has ended.
func (k *talker) talk(ctx context.Context, conn *client.Conn, requests []string) {
	for {
		for _, request := range requests {
			if conn.Send([]byte(request)) != nil {
				return
			}
		}
		var next time.Duration
		requests, next = k.requests()
		if len(requests) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-time.After(next):
		}
	}
}

// requests are messages that may be sent now, and how long it is until there are others.
func (k *talker) requests() (requests []string, next time.Duration) {
	due, next := k.crowd.due(k.number)
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.said < due {
		k.said++
		k.texts[k.said] = fmt.Sprintf("%d %s", time.Now().UnixNano(), strings.Repeat("x", 80))
		k.waiting = append(k.waiting, k.said)
	}
	if until := time.Until(k.retry); until > 0 {
		return nil, max(until, time.Millisecond)
	}
	for _, i := range k.joins {
		requests = append(requests, k.join(i))
	}
	k.joins = nil
	most := window
	if k.trying {
		most = 1
	}
	for len(k.waiting) > 0 && len(k.open) < most {
		n := k.waiting[0]
		k.waiting = k.waiting[1:]
		if k.sent[n] {
			k.resent++
		}
		k.open[n], k.sent[n] = true, true
		requests = append(requests, fmt.Sprintf(`{"type":"message","room":%q,"id":"%d","text":%q}`, k.rooms[n%2], n, k.texts[n]))
	}
	return requests, next
}

// hear takes a reply.
func (k *talker) hear(text []byte) {
	var r chatReply
	if err := json.Unmarshal(text, &r); err != nil {
		k.crowd.fail("%s: %v: %.200s", k.user(), err, text)
		return
	}
	measuring := k.crowd.isMeasuring()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case r.Gap:
		k.crowd.fail("%s is told of a gap after %v: %.200s", k.user(), k.last[r.Room], text)
	case r.Type == "joined":
		for _, m := range r.Messages {
			k.take(m)
		}
		at, err := history.ParsePosition(r.Offset)
		if last, been := k.last[r.Room]; err != nil || been && at != last {
			k.crowd.fail("%s is at %v, and told %.200s", k.user(), last, text)
		}
		k.last[r.Room] = at
		k.joined++
	case r.Type == "message":
		if sent, _, ok := strings.Cut(r.Text, " "); ok && measuring {
			at, _ := strconv.ParseInt(sent, 10, 64)
			k.delays = append(k.delays, time.Since(time.Unix(0, at)))
		}
		k.take(r)
		now := time.Now()
		if !k.lastHeard.IsZero() {
			k.pause = max(k.pause, now.Sub(k.lastHeard))
		}
		k.lastHeard = now
	case r.Type == "ack":
		n, _ := strconv.Atoi(r.ID)
		if before, known := k.acked[n]; known && before != r.Offset || !k.open[n] {
			k.crowd.fail("%s: %d is acknowledged as %s, before as %q", k.user(), n, r.Offset, before)
		}
		k.acked[n], k.trying = r.Offset, false
		k.answered(n)
	case r.Type == "error" && r.Code == "unavailable":
		k.refused++
		k.retry, k.trying = time.Now().Add(500*time.Millisecond), true
		if i, isJoin := strings.CutPrefix(r.ID, "join-"); isJoin {
			n, _ := strconv.Atoi(i)
			k.joins = append(k.joins, n)
		} else if r.ID != "" { // else it is what is unread that is not told
			n, _ := strconv.Atoi(r.ID)
			k.waiting = append(k.waiting, n)
			k.answered(n)
		}
	case r.Type == "error":
		k.crowd.fail("%s: %.200s", k.user(), text)
	}
}

// answered is told that a message is, whatever the answer.
func (k *talker) answered(n int) {
	delete(k.open, n)
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// take is told of a message, which comes next after the last of its room.
func (k *talker) take(m chatReply) {
	at, err := history.ParsePosition(m.Offset)
	number, _ := strconv.Atoi(strings.TrimPrefix(m.User, "user"))
	n, _ := strconv.Atoi(m.ID)
	if last := k.last[m.Room]; err != nil || at != (history.Position{Epoch: last.Epoch, Offset: last.Offset + 1}) {
		k.crowd.fail("%s in %s: after %v comes %q", k.user(), m.Room, last, m.Offset)
	}
	k.last[m.Room] = at
	k.heard[m.Room] = append(k.heard[m.Room], utterance{at, number, n})
}

// settle waits until all that was said is acknowledged, and all have heard it.
func (c *crowd) settle() {
	c.t.Helper()
	c.wait("have an answer to all that they have said", (*talker).isAnswered)
	count := make(map[string]uint64) // of each room
	for _, k := range c.talkers {
		k.mu.Lock()
		for n := range k.acked {
			count[k.rooms[n%2]]++
		}
		k.mu.Unlock()
	}
	c.wait("have all messages of their rooms", func(k *talker) bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.joined >= len(k.rooms) && !slices.ContainsFunc(k.rooms[:], func(room string) bool { return k.last[room].Offset < count[room] })
	})
}

// stored reads what is kept of the rooms in a store.
func (c *crowd) stored(store history.Store, err error) map[string][]utterance {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	defer store.Close()
	all := make(map[string][]utterance)
	for i := range c.rooms {
		name := roomName(i)
		topic, err := store.Topic(c.t.Context(), "/chat/"+name)
		for err == nil {
			var entries []history.Entry
			entries, err = store.Read(c.t.Context(), topic.Name, history.Range{After: uint64(len(all[name])), Limit: 1000})
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				all[name] = append(all[name], uttered(history.Position{Epoch: topic.Epoch, Offset: e.Offset}, e.ID))
			}
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	return all
}

// exported reads it from a server that runs, by its command.
func (c *crowd) exported(admin string) map[string][]utterance {
	c.t.Helper()
	all := make(map[string][]utterance)
	for i := range c.rooms {
		name := roomName(i)
		status, lines, stderr := administer(c.t, admin, "", "history", "/chat/"+name, "--json")
		if status != 0 {
			c.t.Fatal(stderr)
		}
		for line := range strings.Lines(lines) {
			var e struct{ Offset, ID string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				c.t.Fatal(err)
			}
			at, err := history.ParsePosition(e.Offset)
			if err != nil {
				c.t.Fatal(err)
			}
			all[name] = append(all[name], uttered(at, e.ID))
		}
	}
	return all
}

// uttered is an entry, by the ID with which a chat keeps it.
func uttered(at history.Position, id string) utterance {
	u := utterance{at: at}
	if _, err := fmt.Sscanf(id, "%d user%d", &u.n, &u.talker); err != nil {
		u.n = -1
	}
	return u
}

// check holds that what is stored is what was acknowledged, each once, and what everybody has
// heard, in the same order.
func (c *crowd) check(stored map[string][]utterance) {
	c.t.Helper()
	type message struct{ talker, n int }
	where := make(map[message]history.Position)
	total := 0
	for room, all := range stored {
		total += len(all)
		for i, u := range all {
			if u.at.Offset != uint64(i+1) {
				c.fail("%s: entry %d is at %v", room, i+1, u.at)
			}
			m := message{u.talker, u.n}
			if before, twice := where[m]; twice {
				c.fail("message %d of user%d is stored at %v and at %v", u.n, u.talker, before, u.at)
			}
			where[m] = u.at
		}
	}
	acked := 0
	for _, k := range c.talkers {
		k.mu.Lock()
		acked += len(k.acked)
		for n, offset := range k.acked {
			if at, is := where[message{k.number, n}]; !is || at.String() != offset {
				c.fail("message %d of %s, acknowledged as %s, is stored at %v", n, k.user(), offset, at)
			}
		}
		for _, room := range k.rooms {
			if !slices.Equal(k.heard[room], stored[room]) {
				c.fail("%s has %d messages of %s, in which are %d, or has them in another order", k.user(), len(k.heard[room]), room, len(stored[room]))
			}
		}
		k.mu.Unlock()
	}
	if total != acked {
		c.fail("%d messages are stored, %d are acknowledged", total, acked)
	}
}

// A tally is what a crowd has come to.
type tally struct{ acknowledged, delivered, reconnections, resent, refused int }

// tally logs the counts.
func (c *crowd) tally() (sum tally) {
	c.t.Helper()
	var delays []time.Duration
	var pause time.Duration
	ends := make(map[string]int)
	for _, k := range c.talkers {
		k.mu.Lock()
		sum.acknowledged += len(k.acked)
		for _, all := range k.heard {
			sum.delivered += len(all)
		}
		sum.reconnections += len(k.ends)
		for _, err := range k.ends {
			how := err.Error()
			if closed, ok := errors.AsType[*client.CloseError](err); ok {
				how = fmt.Sprint(closed.Code, " ", closed.Reason)
			}
			ends[how]++
		}
		sum.resent += k.resent
		sum.refused += k.refused
		delays = append(delays, k.delays...)
		pause = max(pause, k.pause)
		k.mu.Unlock()
	}
	took := c.ended.Sub(c.begun)
	c.t.Logf("%d clients in %d rooms for %.1f s: %d messages acknowledged and stored (%.0f a second), %d delivered; %d reconnections %v, %d resent, %d refused meanwhile; worst pause %d ms",
		len(c.talkers), c.rooms, took.Seconds(), sum.acknowledged, float64(sum.acknowledged)/took.Seconds(), sum.delivered, sum.reconnections, ends, sum.resent, sum.refused, pause.Milliseconds())
	if len(delays) == 0 {
		c.t.Fatal("nothing was delivered before anything happened")
	}
	slices.Sort(delays)
	at := func(part float64) float64 {
		return float64(delays[int(part*float64(len(delays)-1))].Microseconds()) / 1000
	}
	c.t.Logf("from send to delivery, before anything happened, of %d: p50 %.1f ms, p99 %.1f ms, at most %.1f ms", len(delays), at(0.5), at(0.99), at(1))
	return sum
}

// A crowdSize is how large a load is, in make test or in make soak.
type crowdSize struct {
	clients, rooms, rate int
	quiet                time.Duration // before the first kill, between them, and after the last
	kills                int
	outage               time.Duration // of the database
}

func crowdToday() crowdSize {
	if soak {
		return crowdSize{clients: 200, rooms: 20, rate: 2000, quiet: 8 * time.Second, kills: 5, outage: 20 * time.Second}
	}
	return crowdSize{clients: 50, rooms: 5, rate: 200, quiet: time.Second, kills: 1, outage: 2 * time.Second}
}

// serveChat starts a server of the chat with a store, and with options of the endpoint.
func serveChat(t *testing.T, addr, store string, options ...string) (p *process, admin string) {
	t.Helper()
	cmd := command("serve", "--addr", addr, "--admin-addr", "127.0.0.1:0",
		"--config", writeFile(t, "conf.yaml", "endpoints: [{"+strings.Join(append([]string{"path: /chat", "handler: chat"}, options...), ", ")+"}]"))
	cmd.Env = append(cmd.Env, "SWITCHBACK_HISTORY="+store, "SWITCHBACK_ADMIN_TOKEN="+adminToken)
	p = startCommand(t, cmd)
	return p, regexp.MustCompile(`admin at (\S+)`).FindStringSubmatch(p.ready)[1]
}

// end has a server end as it should.
func (p *process) end() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if status, _ := p.wait(); status != 0 {
		p.t.Errorf("the server has ended with %d: %s", status, p.stderr.String())
	}
}

// The server is killed while a crowd talks, and started again. What was acknowledged is
// stored, once, and everybody has all of their rooms, once and in the order of the store.
func TestChatSurvivesKillsUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	size := crowdToday()
	file, addr := filepath.Join(t.TempDir(), "chat.db"), enginetest.FreeAddress(t)
	p, admin := serveChat(t, addr, "sqlite:"+file)
	c := gather(t, p.url+"chat", size.clients, size.rooms, size.rate)
	before := p.usage(admin, size.clients)
	c.begin()
	c.measure(size.quiet)
	for range size.kills {
		p.cmd.Process.Kill()
		p.wait()
		if log := p.stderr.String(); strings.Contains(log, "DATA RACE") {
			t.Error(log)
		}
		p, admin = serveChat(t, addr, "sqlite:"+file)
		time.Sleep(size.quiet)
	}
	c.end()
	c.settle()
	sum := c.tally()
	if sum.reconnections < size.clients {
		t.Errorf("%d reconnections of %d clients", sum.reconnections, size.clients)
	}
	if sum.resent == 0 || sum.refused > 0 {
		t.Errorf("%d messages were sent again, %d refused", sum.resent, sum.refused)
	}
	p.restsAt(before, admin, size.clients)
	c.check(c.exported(admin))
	p.end()
	c.check(c.stored(sqlite.Open(t.Context(), file, sqlite.Options{})))
}

// The database is killed while a crowd talks, and started again. Sessions stay; what is said
// meanwhile is refused, and said again.
func TestChatSurvivesItsDatabaseUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	size := crowdToday()
	db := postgrestest.Start(t, "fsync=on")
	// A crowd that has not enough of the machine reads what it was sent, and polls again, later
	// than 5 s after it: its sessions would end by that.
	p, admin := serveChat(t, "127.0.0.1:0", db.URL, "disconnect_delay: 1m")
	c := gather(t, p.url+"chat", size.clients, size.rooms, size.rate)
	before := p.usage(admin, size.clients)
	c.begin()
	c.measure(size.quiet)
	db.Kill()
	time.Sleep(size.outage)
	db.Start()
	p.logs("history: the store works again")
	time.Sleep(size.quiet)
	c.end()
	c.settle()
	sum := c.tally()
	for _, k := range c.talkers {
		k.mu.Lock()
		for _, err := range k.ends {
			t.Errorf("a session of %s over %s has ended: %v", k.user(), k.transport, err)
		}
		k.mu.Unlock()
	}
	if sum.resent == 0 || sum.refused == 0 {
		t.Errorf("%d messages were sent again, %d refused", sum.resent, sum.refused)
	}
	p.restsAt(before, admin, size.clients)
	c.check(c.exported(admin))
	p.end()
	c.check(c.stored(postgres.Open(t.Context(), db.URL, postgres.Options{})))
}

// Of three nodes with one database, behind a proxy, one is killed while a crowd talks, and
// started again; in make soak then another. The talkers of the others notice nothing, its own
// come back elsewhere, and all have their rooms once and in the order of the store.
func TestChatSurvivesTheEndOfANodeUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes, a proxy and a database")
	}
	for _, proxy := range []string{"haproxy", "nginx"} {
		t.Run(proxy, func(t *testing.T) { survivesTheEndOfANode(t, proxy) })
	}
}

func survivesTheEndOfANode(t *testing.T, proxy string) {
	size := crowdToday()
	if soak {
		size.clients, size.rate, size.kills = 300, 300, 2
	}
	db := postgrestest.Start(t, "fsync=on")
	file := writeFile(t, "cluster.yaml", `
log_level: warn
engine: {nats: embedded}
endpoints:
  - {path: /chat, handler: chat, trusted_proxies: [127.0.0.1]}
  - {path: /echo, handler: echo} # which haproxy asks
`)
	const count = 3
	var addrs, routes []string
	for range count {
		addrs = append(addrs, enginetest.FreeAddress(t))
		routes = append(routes, enginetest.FreeAddress(t))
	}
	serve := func(i int) (p *process, admin string) {
		cmd := command("serve", "--config", file, "--addr", addrs[i], "--admin-addr", "127.0.0.1:0", "--cluster-listen", routes[i],
			"--node-seed", routes[0], "--node-seed", routes[1], "--node-seed", routes[2])
		cmd.Env = append(cmd.Env, secretVariable+"="+clusterSecret, storeVariable+"="+db.URL, "SWITCHBACK_ADMIN_TOKEN="+adminToken)
		p = startCommand(t, cmd)
		return p, regexp.MustCompile(`admin at (\S+)`).FindStringSubmatch(p.ready)[1]
	}
	var nodes [count]*process
	var admins [count]string
	for i := range nodes {
		nodes[i], admins[i] = serve(i)
	}
	c := gather(t, balance(t, proxy, addrs)+"/chat", size.clients, size.rooms, size.rate)
	c.begin()
	c.measure(size.quiet)
	killed := make(map[string]int) // how many sessions of a user were on the node then
	for victim := range size.kills {
		page, err := admin.New(admins[victim], adminToken, nil).Sessions(t.Context(), admin.Filter{Endpoint: "/chat"}, 1000, "")
		if err != nil || len(page.Sessions) == 0 {
			t.Fatalf("%d sessions are on the node, %v", len(page.Sessions), err)
		}
		for _, s := range page.Sessions {
			killed[s.User]++
		}
		nodes[victim].cmd.Process.Kill()
		nodes[victim].wait()
		time.Sleep(size.quiet)
		nodes[victim], admins[victim] = serve(victim)
		time.Sleep(size.quiet)
	}
	c.end()
	c.settle()
	if sum := c.tally(); sum.refused > 0 {
		t.Errorf("%d messages were refused", sum.refused)
	}
	var pause time.Duration // of the others
	for _, k := range c.talkers {
		k.mu.Lock()
		ends, own := len(k.ends), killed[k.user()]
		if own == 0 {
			pause = max(pause, k.pause)
		}
		// nginx sends who has come meanwhile to the node of his id, when that is there again.
		if ends < own || ends > own && (own == 0 || proxy != "nginx") {
			t.Errorf("%s over %s: %d sessions have ended, of %d that were killed: %q", k.user(), k.transport, ends, own, k.ends)
		}
		k.mu.Unlock()
	}
	t.Logf("%d talkers were on the node; the worst pause of the others: %d ms", len(killed), pause.Milliseconds())
	for i, p := range nodes {
		text := fetch(t, http.DefaultClient, admins[i]+"metrics")
		count := func(name string) float64 { return metric(t, text, "switchback_history_"+name) }
		t.Logf("node %d: %v holes, %v messages read from the database", i, count("holes_total"), count("fetched_total"))
		if count("abandoned_total") != 0 || count("held_bytes") != 0 {
			t.Errorf("node %d: %v holes are given up, %v bytes held", i, count("abandoned_total"), count("held_bytes"))
		}
		c.check(c.exported(admins[i]))
		p.end()
		if log := p.stderr.String(); strings.Contains(log, "DATA RACE") {
			t.Error(log)
		}
	}
	c.check(c.stored(postgres.Open(t.Context(), db.URL, postgres.Options{})))
}

// How long a message takes from who says it to who is told, where rooms are of two and all is
// durable: a figure.
func TestChatDelayUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	size := crowdToday()
	p, _ := serveChat(t, "127.0.0.1:0", "sqlite:"+filepath.Join(t.TempDir(), "chat.db"))
	c := gather(t, p.url+"chat", size.clients, size.clients, size.rate)
	c.begin()
	c.measure(size.quiet)
	c.end()
	c.settle()
	if sum := c.tally(); sum.delivered != 2*sum.acknowledged {
		t.Errorf("%d were delivered, of %d", sum.delivered, sum.acknowledged)
	}
}

// In a room with a million messages the first page is there, whoever scrolls back gets to the
// first message, and joining is as in a room with a hundred.
func TestChatRoomOfAMillionUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const few = 100
	many := 3_000
	if soak {
		many = 1_000_000
	}
	file := filepath.Join(t.TempDir(), "chat.db")
	store, err := sqlite.Open(t.Context(), file, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for room, total := range map[string]int{"few": few, "many": many} {
		for n := 0; n < total; {
			var batch []*history.Append
			for ; len(batch) < 1000 && n < total; n++ {
				batch = append(batch, &history.Append{Topic: "/chat/" + room, Entry: history.Entry{
					At: begun.Add(time.Duration(n-total) * time.Second), ID: fmt.Sprintf("%d user0", n+1), User: "user0", Data: fmt.Appendf(nil, "message %d", n+1),
				}})
			}
			if err := store.Append(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	bytes, err := store.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d messages, %d MiB, stored in %.1f s", many, bytes>>20, time.Since(begun).Seconds())

	p, admin := serveChat(t, "127.0.0.1:0", "sqlite:"+file)
	c := chatWith(t, p.url+"chat?user=kim", "websocket")
	before := p.usage(admin, 1)
	ask := func(request, kind string) (r chatReply, took time.Duration) {
		t.Helper()
		begun := time.Now()
		c.says(request)
		text := c.gets("{'type':'" + kind + "'")
		took = time.Since(begun)
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		return r, took
	}
	// ends holds that messages are those that end with the n-th.
	ends := func(what string, all []chatReply, count, n int) {
		t.Helper()
		if len(all) != count {
			t.Fatalf("%s: %d messages, want %d", what, len(all), count)
		}
		for i, m := range all {
			number := n - count + 1 + i
			at, err := history.ParsePosition(m.Offset)
			if err != nil || at.Offset != uint64(number) || m.Text != fmt.Sprint("message ", number) || m.ID != strconv.Itoa(number) {
				t.Fatalf("%s: %+v, want number %d", what, m, number)
			}
		}
	}
	const times = 21
	median := func(all []time.Duration) time.Duration {
		slices.Sort(all)
		return all[len(all)/2].Round(10 * time.Microsecond)
	}
	for _, room := range []struct {
		name  string
		total int
	}{{"few", few}, {"many", many}} {
		var first, joins, pages []time.Duration
		for i := range times {
			r, took := ask(`{'type':'join','room':'`+room.name+`','limit':50}`, "joined")
			ends("joining", r.Messages, 50, room.total)
			if joins = append(joins, took); i == 0 {
				first = append(first, took)
			}
			ask(`{'type':'leave','room':'`+room.name+`'}`, "left")
		}
		for range times {
			r, took := ask(`{'type':'history','room':'`+room.name+`','limit':50}`, "history")
			ends("the first page", r.Messages, 50, room.total)
			pages = append(pages, took)
		}
		var worst time.Duration
		begun, before := time.Now(), ""
		for left := room.total; left > 0; {
			r, took := ask(`{'type':'history','room':'`+room.name+`','limit':100`+before+`}`, "history")
			count := min(left, 100)
			ends("scrolling back", r.Messages, count, left)
			left -= count
			if r.More != (left > 0) {
				t.Fatalf("there are %d messages before, and more is %v", left, r.More)
			}
			before, worst = `,'before':'`+r.Messages[0].Offset+`'`, max(worst, took)
		}
		t.Logf("%7d messages: joined in %v, for the first time %v; first page of history in %v; back to the first message in %.2f s, the slowest page in %v",
			room.total, median(joins), first[0].Round(10*time.Microsecond), median(pages), time.Since(begun).Seconds(), worst.Round(10*time.Microsecond))
	}
	p.restsAt(before, admin, 1)
	p.end()
}
