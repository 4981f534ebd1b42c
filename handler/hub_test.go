package handler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"switchback/session"
	"switchback/session/memory"
	"switchback/session/sessiontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func heard(s *sessiontest.Session) string { return fmt.Sprint(s.Texts()) }

func newHub(t testing.TB, e Engine) *Hub {
	t.Helper()
	h, err := NewHub(e)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSubscribersHearTheirTopic(t *testing.T) {
	h, ctx := newHub(t, NewMemory()), t.Context()
	a, b := sessiontest.New(session.Peer{}), sessiontest.New(session.Peer{})
	h.Publish(ctx, "x", []byte("nobody"))
	h.Subscribe(ctx, "x", ForSession(a))
	h.Subscribe(ctx, "x", ForSession(a))
	h.Subscribe(ctx, "x", ForSession(b))
	h.Subscribe(ctx, "y", ForSession(b))
	h.Publish(ctx, "x", []byte("1"))
	h.Publish(ctx, "y", []byte("2"))
	h.Unsubscribe(ctx, "x", ForSession(a))
	h.Unsubscribe(ctx, "x", ForSession(a))
	h.Publish(ctx, "x", []byte("3"))
	if heard(a) != "[1]" || heard(b) != "[1 2 3]" {
		t.Errorf("got %s and %s", heard(a), heard(b))
	}
	if h.Subscribers("x") != 1 || h.Subscribers("z") != 0 {
		t.Errorf("%d subscribers", h.Subscribers("x"))
	}
	h.Unsubscribe(ctx, "x", ForSession(b))
	h.Unsubscribe(ctx, "y", ForSession(b))
	for i := range h.shards {
		if n := len(h.shards[i].topics); n != 0 {
			t.Errorf("%d topics are kept", n)
		}
	}
}

// A strictEngine fails the test where calls for a topic are not in turn.
type strictEngine struct {
	Memory
	t    *testing.T
	mu   sync.Mutex
	have map[string]bool
	fail error
}

func (e *strictEngine) turn(topic string, on bool) error {
	e.mu.Lock()
	if e.fail != nil {
		defer e.mu.Unlock()
		return e.fail
	}
	if e.have[topic] == on {
		e.t.Errorf("%s: subscribed %v twice", topic, on)
	}
	e.mu.Unlock()
	time.Sleep(10 * time.Microsecond) // as a network would take
	e.mu.Lock()
	defer e.mu.Unlock()
	e.have[topic] = on
	return nil
}

func (e *strictEngine) Subscribe(_ context.Context, topic string) error { return e.turn(topic, true) }

func (e *strictEngine) Unsubscribe(_ context.Context, topic string) error {
	return e.turn(topic, false)
}

func TestEngineIsSubscribedInTurn(t *testing.T) {
	e := &strictEngine{t: t, have: make(map[string]bool)}
	h, ctx := newHub(t, e), t.Context()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s := sessiontest.New(session.Peer{})
			for i := range 100 {
				topic := fmt.Sprint(i % 2)
				if err := h.Subscribe(ctx, topic, ForSession(s)); err != nil {
					t.Error(err)
				}
				h.Publish(ctx, topic, []byte("x"))
				if err := h.Unsubscribe(ctx, topic, ForSession(s)); err != nil {
					t.Error(err)
				}
			}
			if n := len(s.Texts()); n < 100 {
				t.Errorf("%d of 100 messages were heard", n)
			}
		})
	}
	all.Wait()
	for topic, on := range e.have {
		if on {
			t.Errorf("%s: still subscribed", topic)
		}
	}
}

func TestEngineThatFailsSubscribesNobody(t *testing.T) {
	e := &strictEngine{t: t, have: make(map[string]bool), fail: errors.New("no network")}
	h := newHub(t, e)
	if err := h.Subscribe(t.Context(), "x", ForSession(sessiontest.New(session.Peer{}))); err != e.fail {
		t.Errorf("got %v", err)
	}
	if h.Subscribers("x") != 0 || len(h.shard("x").topics) != 0 {
		t.Error("is subscribed all the same, or the topic is kept")
	}
}

// A node is an engine that keeps what it is given, for the test to carry to other nodes.
type node struct {
	Memory
	deliver func(topic string, data []byte) error
	given   []given
}

type given struct {
	topic string
	data  []byte
}

func (n *node) Start(deliver func(topic string, data []byte) error) error {
	n.deliver = deliver
	return nil
}

func (n *node) Publish(_ context.Context, topic string, data []byte) error {
	n.given = append(n.given, given{topic, bytes.Clone(data)})
	return nil
}

// carry delivers all that has been published to nodes, and spoils it afterwards.
func (n *node) carry(t *testing.T, to ...*node) {
	t.Helper()
	for _, g := range n.given {
		for _, other := range to {
			data := bytes.Clone(g.data)
			if err := other.deliver(g.topic, data); err != nil {
				t.Error(err)
			}
			clear(data)
		}
	}
	n.given = nil
}

// A receiver keeps what it is given.
type receiver struct{ got []Publication }

func (r *receiver) Receive(p *Publication) {
	kept := *p
	kept.Text = bytes.Clone(p.Text)
	r.got = append(r.got, kept)
}

// Who gives up while others subscribe may be the last that is left, and then the engine is
// unsubscribed all the same.
func TestLastWhoGivesUpIsUnsubscribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &slowEngine{begin: make(chan struct{})}
		h := newHub(t, e)
		a, b := ForSession(sessiontest.New(session.Peer{})), ForSession(sessiontest.New(session.Peer{}))
		subscribed := make(chan struct{})
		go func() { defer close(subscribed); h.Subscribe(t.Context(), "x", a) }() // ends with begin
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		gone := lateContext{ctx, func() { // before b leaves a has come and gone
			close(e.begin)
			<-subscribed
			h.Unsubscribe(t.Context(), "x", a)
		}}
		cancel()
		if err := h.Subscribe(gone, "x", b); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if h.find("x") != nil || e.topics != 0 {
			t.Errorf("%d topics are left at the engine", e.topics)
		}
	})
}

// A slowEngine takes its time to subscribe.
type slowEngine struct {
	Memory
	begin  chan struct{}
	topics int
}

func (e *slowEngine) Subscribe(context.Context, string) error {
	<-e.begin
	e.topics++
	return nil
}

func (e *slowEngine) Unsubscribe(context.Context, string) error {
	e.topics--
	return nil
}

// A lateContext has something happen when it is asked for its error.
type lateContext struct {
	context.Context
	happen func()
}

func (c lateContext) Err() error {
	c.happen()
	return c.Context.Err()
}

// Each node's publications reach its own subscribers at once, those of the other node once
// and in order, and come back to nobody.
func TestEngineCarriesToOtherNodes(t *testing.T) {
	var engines [2]*node
	var hubs [2]*Hub
	var sessions [2]*sessiontest.Session
	var receivers [2]*receiver
	ctx := t.Context()
	for i := range hubs {
		engines[i] = new(node)
		hubs[i] = newHub(t, engines[i])
		sessions[i], receivers[i] = sessiontest.New(session.Peer{}), new(receiver)
		hubs[i].Subscribe(ctx, "x", ForSession(sessions[i]))
		hubs[i].Subscribe(ctx, "y", receivers[i])
	}
	text := []byte("1")
	hubs[0].Publish(ctx, "x", text)
	text[0] = '2'
	hubs[0].PublishTo(ctx, &Publication{ID: "id", Epoch: 3, Offset: 4, Text: text}, "x", "y")
	hubs[1].Publish(ctx, "x", []byte("3"))
	text[0] = '0'
	if heard(sessions[0]) != "[1 2]" || heard(sessions[1]) != "[3]" {
		t.Errorf("before: got %s and %s", heard(sessions[0]), heard(sessions[1]))
	}
	for _, e := range engines {
		e.carry(t, engines[:]...)
	}
	if heard(sessions[0]) != "[1 2 3]" || heard(sessions[1]) != "[3 1 2]" {
		t.Errorf("got %s and %s", heard(sessions[0]), heard(sessions[1]))
	}
	for i, r := range receivers {
		if len(r.got) != 1 {
			t.Fatalf("node %d got %v", i, r.got)
		}
		p := r.got[0]
		if p.Origin != hubs[0].origin || p.Counter != 2 || p.ID != "id" || p.Epoch != 3 || p.Offset != 4 || i == 1 && string(p.Text) != "2" {
			t.Errorf("node %d got %+v", i, p)
		}
	}
	if err := hubs[0].receive("x", []byte("\x02")); err == nil {
		t.Error("is taken for a publication")
	}
}

// Stamps rise in the order in which the engine has them, whoever publishes.
func TestStampsRise(t *testing.T) {
	e := new(node)
	h := newHub(t, e)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				h.Publish(t.Context(), "x", nil)
			}
		})
	}
	all.Wait()
	for i, g := range e.given {
		if p, err := decodePublication(g.data); err != nil || p.Counter != uint64(i+1) {
			t.Fatalf("%d: got %+v, %v", i, p, err)
		}
	}
}

// A countedPayload counts how often it is encoded.
type countedPayload struct{ encoded int }

func (c *countedPayload) Append(dst []byte) []byte {
	c.encoded++
	return append(dst, "text"...)
}

func (c *countedPayload) Size() int { return len("text") }

func TestPayloadIsEncodedWhereTextIsAskedFor(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		what    string
		engine  Engine
		session bool
		want    int
	}{
		{"one node", NewMemory(), false, 0}, {"a session on it", NewMemory(), true, 1}, {"other nodes", new(node), false, 1},
	} {
		h, payload, r, s := newHub(t, c.engine), new(countedPayload), new(plainReceiver), sessiontest.New(session.Peer{})
		h.Subscribe(ctx, "x", r)
		h.Subscribe(ctx, "y", r)
		if c.session {
			h.Subscribe(ctx, "x", ForSession(s))
			h.Subscribe(ctx, "y", ForSession(s))
		}
		h.PublishTo(ctx, &Publication{Payload: payload}, "x", "y")
		if payload.encoded != c.want || r.got != 2 || c.session && heard(s) != "[text text]" {
			t.Errorf("%s: encoded %d times, %d deliveries, %s", c.what, payload.encoded, r.got, heard(s))
		}
	}
}

// A plainReceiver takes a payload as it is.
type plainReceiver struct{ got int }

func (r *plainReceiver) Receive(p *Publication) {
	if _, ok := p.Payload.(*countedPayload); ok && p.Text == nil {
		r.got++
	}
}

// A lost engine is no network.
type lost struct{ Memory }

var errLost = errors.New("no network")

func (*lost) Publish(context.Context, string, []byte) error { return errLost }

func TestWhatIsNotPublishedIsNotDelivered(t *testing.T) {
	for _, c := range []struct {
		engine Engine
		id     string
		want   error
	}{
		{new(lost), "", errLost}, {NewMemory(), strings.Repeat("x", MaxID), nil}, {NewMemory(), strings.Repeat("x", MaxID+1), errLong},
	} {
		h, s := newHub(t, c.engine), sessiontest.New(session.Peer{})
		h.Subscribe(t.Context(), "x", ForSession(s))
		err := h.PublishTo(t.Context(), &Publication{ID: c.id, Text: []byte("1")}, "x")
		if err != c.want || (len(s.Texts()) == 1) != (err == nil) {
			t.Errorf("got %v and %s, want %v", err, heard(s), c.want)
		}
	}
}

// What an engine does not take is told to who publishes in Go, and ends no session: those of
// this node get it.
func TestBroadcastGoesOnWithoutEngine(t *testing.T) {
	h := newHub(t, new(lost))
	b := Broadcast{Hub: h, Topic: "x"}
	s, other := sessiontest.New(session.Peer{}), sessiontest.New(session.Peer{})
	for _, s := range []*sessiontest.Session{s, other} {
		if err := b.OnOpen(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.OnMessage(s, []byte("1")); err != nil || heard(s) != "[1]" || heard(other) != "[1]" {
		t.Errorf("%v, got %s and %s", err, heard(s), heard(other))
	}
}

// A lossyEngine tells of losses when the test says so.
type lossyEngine struct {
	Memory
	lost func(error)
}

func (e *lossyEngine) OnLoss(lost func(error)) { e.lost = lost }

func TestLossesAreTold(t *testing.T) {
	e := new(lossyEngine)
	h := newHub(t, e)
	var told []error
	for range 2 {
		h.OnLoss(func(err error) { told = append(told, err) })
	}
	if e.lost(errLost); len(told) != 2 || told[0] != errLost || told[1] != errLost {
		t.Errorf("got %v", told)
	}
}

// What is kept already is delivered on this node though the engine does not take it, and
// the room that was reserved for it is given back.
func TestWhatIsKeptIsDelivered(t *testing.T) {
	held := memory.Used()
	for _, c := range []struct {
		engine Engine
		want   error
	}{{NewMemory(), nil}, {new(lost), errLost}} {
		h, s := newHub(t, c.engine), sessiontest.New(session.Peer{})
		h.Subscribe(t.Context(), "x", ForSession(s))
		p := &Publication{Text: []byte("1"), Epoch: 1, Offset: 2, User: "kim"}
		room, err := h.Reserve(t.Context(), p)
		if err != nil || memory.Used() == held {
			t.Fatalf("reserved: %v", err)
		}
		if err := h.Deliver(t.Context(), p, "x"); err != c.want || heard(s) != "[1]" {
			t.Errorf("got %v and %s, want %v", err, heard(s), c.want)
		}
		if room.Release(); memory.Used() != held {
			t.Errorf("%d bytes are left reserved", memory.Used()-held)
		}
	}
	if _, err := newHub(t, NewMemory()).Reserve(t.Context(), &Publication{User: strings.Repeat("x", MaxID+1)}); err != errLong {
		t.Errorf("got %v", err)
	}
}

func TestAmplify(t *testing.T) {
	s := sessiontest.New(session.Peer{})
	for n := 1; n <= 18; n++ {
		if err := (Amplify{}).OnMessage(s, fmt.Append(nil, n)); err != nil || s.Texts()[n-1] != strings.Repeat("x", 1<<n) {
			t.Errorf("%d: %d bytes, %v", n, len(s.Texts()[n-1]), err)
		}
	}
	for _, wrong := range []string{"", "0", "19", "-1", "x", "1.5", "99999999999999999999"} {
		var end *session.CloseError
		if err := (Amplify{}).OnMessage(s, []byte(wrong)); !errors.As(err, &end) || end.Code != 1007 {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
}

// A publisher waits while too much is held, and is refused where nobody takes it.
func TestPublisherWaitsForMemory(t *testing.T) {
	before := memory.SetLimit(1000)
	defer memory.SetLimit(before)
	synctest.Test(t, func(t *testing.T) {
		h, s := newHub(t, NewMemory()), sessiontest.New(session.Peer{})
		h.Subscribe(t.Context(), "x", ForSession(s))
		memory.Add(990)
		done := make(chan error)
		go func() { done <- h.Publish(t.Context(), "x", []byte("waits")) }()
		synctest.Wait()
		if got := heard(s); got != "[]" {
			t.Errorf("%s was sent at once", got)
		}
		memory.Add(-900)
		if err := <-done; err != nil || heard(s) != "[waits]" {
			t.Errorf("%v, %s", err, heard(s))
		}
		memory.Add(900)
		if err := h.Publish(t.Context(), "x", []byte("in vain")); err != session.ErrMemory || heard(s) != "[waits]" {
			t.Errorf("%v, %s; want ErrMemory, [waits]", err, heard(s))
		}
		memory.Add(-990)
		if memory.Used() != 0 {
			t.Errorf("%d bytes are left", memory.Used())
		}
	})
}

// A publication that is published again is timed anew.
func TestDeliveryIsTimedFromPublication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := session.NewRegistry(session.Shared(session.Nop{}), session.Config{
			DisconnectDelay: time.Minute, HeartbeatDelay: -1, SessionLimit: 1, QueueLimit: 100, InboxLimit: 100, InboxTimeout: time.Minute,
		})
		h := newHub(t, NewMemory())
		r := reader{}
		s, err := g.Open("", nil, session.Peer{}, session.SockJS, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Subscribe(t.Context(), "t", ForSession(s)); err != nil {
			t.Fatal(err)
		}
		p := &Publication{Text: []byte("x")}
		for range 2 {
			time.Sleep(3 * time.Second)
			if err := h.PublishTo(t.Context(), p, "t"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			for more := true; more; {
				more = s.Next(r, new(memory.Pieces)).More
			}
			s.Taken()
		}
		if _, count, sum := g.Stats().Delivery.Counts(); count != 2 || sum != 2*time.Second {
			t.Errorf("%d took %v", count, sum)
		}
		s.Detach(r, nil)
		g.Shutdown(t.Context())
	})
}

type reader struct{}

func (reader) Wake() {}

// Who repeats a publication, on the same node or on another, is heard once on each topic, for
// as long as is known of it.
func TestPublicationIsDeliveredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engines [2]*node
		var hubs [2]*Hub
		var sessions [2]*sessiontest.Session
		for i := range hubs {
			engines[i] = new(node)
			hubs[i] = newHub(t, engines[i])
			sessions[i] = sessiontest.New(session.Peer{})
			hubs[i].Subscribe(t.Context(), "x", ForSession(sessions[i]))
			hubs[i].Subscribe(t.Context(), "y", ForSession(sessions[i]))
		}
		publish := func(i int, topic, id, text string) {
			p := &Publication{ID: id, Once: Once(topic, id), Text: []byte(text)}
			if err := hubs[i].PublishTo(t.Context(), p, topic); err != nil {
				t.Error(err)
			}
			for _, e := range engines {
				e.carry(t, engines[:]...)
			}
		}
		publish(0, "x", "1", "a")
		publish(0, "x", "1", "a again")
		publish(1, "x", "1", "a from elsewhere")
		publish(1, "y", "1", "another topic")
		publish(1, "x", "2", "b")
		hubs[0].PublishTo(t.Context(), &Publication{ID: "1", Text: []byte("plain")}, "x")
		engines[0].carry(t, engines[:]...)
		time.Sleep(onceFor + time.Second)
		publish(1, "x", "1", "much later")
		for i, s := range sessions {
			if got, want := heard(s), "[a another topic b plain much later]"; got != want {
				t.Errorf("node %d: got %s, want %s", i, got, want)
			}
		}
		for i := range onceMost {
			hubs[0].once.first("z", uint64(i+1))
		}
		if publish(0, "x", "1", "too many since"); !strings.HasSuffix(heard(sessions[0]), "too many since]") || len(hubs[0].once.seen) != onceMost || len(hubs[0].once.list) != onceMost {
			t.Errorf("got %s, %d are known", heard(sessions[0]), len(hubs[0].once.seen))
		}
	})
}
