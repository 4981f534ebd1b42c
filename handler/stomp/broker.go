package stomp

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"switchback/handler"
	"switchback/handler/stomp/frame"
	"switchback/session"
	"switchback/session/limit"
	"switchback/session/memory"
)

// Headers are the headers of a frame.
type Headers = frame.Headers

// A Header is one header of a frame.
type Header = frame.Header

// A Broker serves STOMP. It is the Opener of any number of endpoints, whose
// clients then reach each other. Its methods may be called from any goroutine.
type Broker struct {
	options Options
	log     *slog.Logger
	hub     *handler.Hub
	ownsHub bool
	clock   *clock
	calls   sync.WaitGroup // goroutines of queues

	prefixes prefixes // immutable

	limits        frame.Limits
	connectLimits frame.Limits // before CONNECT

	idPrefix string // of this broker's messages
	ids      atomic.Uint64

	users    users
	members  *limit.Users // nil: users have no limit
	topics   topics
	queues   queues
	messages routes // of SEND
	requests routes // of SUBSCRIBE
	failures failures
	dropped  noted
	kept     budget // transactions and subscriptions
	queued   budget // messages in queues
	received budget // incomplete frames
	stats    Stats
}

var (
	_ session.Opener        = (*Broker)(nil)
	_ session.Subprotocoler = (*Broker)(nil)
	_ session.Principaler   = (*Broker)(nil)
	_ Messenger             = (*Broker)(nil)
)

// New returns a Broker. An error says which option is wrong and what it may be.
func New(o Options) (*Broker, error) {
	o, err := o.Complete()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		options: o, log: o.Logger, hub: o.Hub, prefixes: newPrefixes(&o), clock: newClock(), idPrefix: rand.Text()[:6] + "-",
	}
	if b.hub == nil && o.History != nil {
		b.hub = o.History.Hub()
	}
	if b.hub == nil {
		b.ownsHub = true
		if b.hub, err = handler.NewHub(handler.NewMemory()); err != nil {
			return nil, err
		}
	}
	b.limits = frame.Limits{Frame: o.FrameLimit, Body: o.BodyLimit, HeaderBytes: o.HeaderLimit, Headers: o.HeaderCountLimit}
	b.connectLimits = b.limits
	b.connectLimits.Frame = min(o.FrameLimit, o.HeaderLimit+1)
	b.kept = budget{&memory.Kept, &b.stats.Memory}
	b.queued = budget{&memory.Queued, &b.stats.Memory}
	b.received = budget{&memory.Received, &b.stats.Memory}
	if o.UserLimit > 0 || o.PublishRate > 0 {
		b.members = limit.NewUsers(o.UserLimit, limit.Rate{PerSecond: o.PublishRate, Burst: o.PublishBurst})
	}
	b.users.init(&b.stats.Clients)
	b.topics.init(b)
	b.queues.init(b)
	if err := b.hearReads(); err != nil {
		return nil, err
	}
	return b, nil
}

// Open returns the handler of a new session.
func (b *Broker) Open(r *http.Request) (session.Handler, error) { return b.newConn(r, b.options.Login) }

func (b *Broker) newConn(r *http.Request, login LoginFunc) (session.Handler, error) {
	id, value, err := b.handshake(r)
	if err != nil {
		return nil, err
	}
	return &conn{broker: b, client: Client{Identity: id, Value: value}, admits: login}, nil
}

// Principal is the user that Handshake names: a session is its user's alone.
func (b *Broker) Principal(r *http.Request) (string, error) {
	id, _, err := b.handshake(r)
	if id == nil || err != nil {
		return "", err
	}
	return id.User, nil
}

// handshake asks the hook. The client of one that panics is told 500.
func (b *Broker) handshake(r *http.Request) (id *session.Identity, value any, err error) {
	if b.options.Handshake == nil {
		return nil, nil, nil
	}
	defer func() {
		if panicked := panicOf(err); panicked != nil {
			logPanic(b.log, "stomp: hook panicked", panicked)
			err = &session.RefusedError{Status: http.StatusInternalServerError, Reason: "Internal error."}
		}
	}()
	defer session.Recovered(&err)
	return b.options.Handshake(r)
}

// Subprotocols are what a native WebSocket endpoint agrees to. The version of
// STOMP is not decided there but by CONNECT.
func (b *Broker) Subprotocols() []string { return []string{"v12.stomp", "v11.stomp", "v10.stomp"} }

// Close ends what the broker does of itself: heart-beats, timeouts and, where it
// has no other owner, its Hub. It is called when all sessions have closed.
func (b *Broker) Close() error {
	b.clock.end(&b.queues.patrol)
	b.clock.stop()
	b.calls.Wait()
	b.queues.end()
	b.unhearReads()
	if b.ownsHub {
		return b.hub.Close()
	}
	return nil
}

// messageID returns a new id, unique in the cluster.
func (b *Broker) messageID() string {
	return b.idPrefix + strconv.FormatUint(b.ids.Add(1), 36)
}
