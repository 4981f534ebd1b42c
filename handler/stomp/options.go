package stomp

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/rules"
	"switchback/handler/stomp/frame"
	"switchback/session"
	"switchback/session/option"
)

// Options are the settings of a broker. The zero value is Spring's simple broker,
// for "/topic" and "/queue", with every limit on. A zero number or duration stands
// for its default.
//
// What a destination is, its prefix says: the longest of Topics, Queues and Apps
// that it begins with, for SEND and SUBSCRIBE alike. One that begins with UserPrefix
// is a user's, and a topic, too, where the longest is of Topics. A prefix ends where
// a segment does: with "/queue" and "/queues", /queues/1 is of the second. But a
// destination of topics or queues that no prefix fits so belongs to the longest
// that it begins with as text, as in Spring: /topics/1 is of "/topic". A prefix
// begins with a slash; "/" alone is every destination that no other takes; a slash
// at its end leaves destinations such as /topics/1 out.
//
// A prefix that is given takes the place of a default of another kind: with
// Queues "/queue", Topics is "/topic" alone. New refuses one that is given for two
// kinds; one of Apps that lies within another of Topics or Queues, but for "/"; and
// one of Queues or Apps that lies within UserPrefix.
type Options struct {
	// Topics are the prefixes of destinations that go to all who subscribed.
	// The default is "/topic" and "/queue"; an empty list is none.
	Topics []string

	// Queues are the prefixes of destinations whose messages each go to one
	// subscriber, and wait for one until then. They live on this node. The
	// default is none.
	Queues []string

	// Apps are the prefixes of destinations that go to the functions of Handle
	// and HandleSubscribe, which are found by what follows the prefix. The
	// default is "/app", or none where that lies within a prefix that is given:
	// with Topics "/", all destinations are topics but those of the Apps that
	// are given. An empty list is none.
	Apps []string

	// UserPrefix is the prefix of destinations of a user. The default is
	// "/user". It may be one of Topics, too, or lie within one, or hold some:
	// such a destination is both, as in Spring, where some applications make up
	// their own destinations of users.
	UserPrefix string `default:"/user"`

	// Separator stands between the segments of a destination in patterns. The
	// default is "/"; "." is the other one in use.
	Separator string `default:"/"`

	// Hub carries the topics. The default is one for this node alone, which
	// the broker owns. A Hub that is given is not closed with the broker. Its
	// engine is given each message twice: for the nodes that have subscribed to
	// its destination, and on handler.Everything for those that have patterns.
	Hub *handler.Hub

	// History keeps what is sent to the destinations that its policies match: of topics by
	// their own name, of users by the one under which others send to them, /user/bob/queue/x.
	// It is over the Hub that carries the topics, and is not closed with the broker. Such a
	// MESSAGE has an offset, which is its place there. A SUBSCRIBE with it as since gets what
	// came after it, one with history:50 the last 50; then what is new, without a hole. Where
	// not all can be given, the first MESSAGE and the RECEIPT say gap:true. The RECEIPT has
	// the offset up to which that is, 0 where there has been no MESSAGE yet; since:0 is all
	// there is. A SEND has its RECEIPT when it is stored. Where a policy counts what a user
	// has not read, RECEIPT and MESSAGE say unread:3, 1000 for that many or more, up to their
	// offset, whatever the SUBSCRIBE asks for. A pattern is of no one
	// topic: beside other nodes it gets what each has sent in the order of that node, not in
	// that of the offsets, and not what was missed. The default is none: then since and
	// history mean nothing.
	History *history.Log

	// ReadDestination is where a client of a user sends what the user has read:
	// {"destination":"/topic/x","offset":"..."}, up to a MESSAGE's offset. Who may subscribe
	// to a destination may do that. It goes before a function for the same destination, and
	// means nothing without History. The default is "/app/read".
	ReadDestination string `default:"/app/read"`

	// Handshake says whose a session is by the request that opens it, or refuses it
	// with a *session.RefusedError; nil is nobody. The value becomes Client.Value. It is
	// called for each further request of the session, too, which has to be the same
	// user's: what differs between those, such as the age of a token, must not matter
	// there. The request is not kept. The default is nobody, or who an Opener around the
	// broker says that it is.
	Handshake func(r *http.Request) (id *session.Identity, value any, err error)

	// Login decides over a CONNECT: see LoginFunc and Passwords. The default
	// accepts everybody.
	Login LoginFunc

	// TokenHeader names a header in which clients bring tokens, beside Authorization, see
	// Tokens and Renew. Neither is ever sent on to subscribers. The default is none.
	TokenHeader string

	// Renew is asked for each frame of a connected client whose Identity expires and that
	// has the header Authorization, or TokenHeader, once for each token: the client ends
	// when the new Identity does, unless that is sooner. Else Client.Identity stays as it
	// is. A token that is refused, or another user's, ends the session with an ERROR. The
	// default leaves the header to functions.
	Renew VerifyFunc

	// Rules decide over CONNECT, when Login has said who it is, and over a client's SEND
	// and SUBSCRIBE, by the destination that it names: see package rules. The destination of
	// a SUBSCRIBE that stands for what is sent to the client's own session, as
	// /queue/x-user<session>, is /user/queue/x to them. Their Separator must be the
	// broker's. The default allows all: then every client may publish to topics and users.
	Rules *rules.List

	// Authorize decides over a client's SEND and SUBSCRIBE that Rules allow. An error ends the
	// session: an *Error with its own text. The default allows all.
	//
	// The destination of a SUBSCRIBE may be a pattern, which gets what is sent
	// to destinations that it does not name: /topic/secre? that of
	// /topic/secret. A function that guards single topics has to refuse
	// patterns, which have one of "*?{", or PatternLimit has to; Rules see to that
	// themselves. A destination of the application has no empty segments here: /app//x is
	// refused before.
	Authorize func(c *Client, command frame.Command, destination string) error

	// Events are told of clients.
	Events Events

	// Strict refuses with an ERROR what the broker otherwise, like Spring's,
	// leaves without effect: frames for a destination of no prefix or of no
	// function; frames without a header that the client's version of STOMP asks
	// for, such as UNSUBSCRIBE without id, or with an empty one; and those that
	// name a subscription or a message that the client does not have. A message
	// of a queue is no longer the client's when it has been acknowledged, in
	// mode client with one after it, too, and when its subscription has ended.
	// What the broker keeps no names of is not refused: messages of topics, of
	// those that the client has left, too, and SUBSCRIBEs to the application.
	Strict bool

	// Logger gets what happens: error for panics of functions and hooks; warn
	// for clients that are refused and functions that fail; info for the first
	// frame for a destination that is dropped, of 100 destinations; debug for
	// the others. Of a body there is only what the error or the panic of a
	// function quotes; of headers, only those that name a destination, a
	// subscription, a message or a transaction, and login where the error is
	// ErrPassword; never more than 256 bytes of any. The default is
	// slog.Default() as New finds it; slog.New(slog.DiscardHandler) is none.
	Logger *slog.Logger

	// HeartbeatSend and HeartbeatReceive are announced to clients: how often
	// the broker can send a heart-beat, and how often it wants one. A client
	// that is silent for three times what was agreed is closed. The default is
	// none of either: browsers slow down the timers of hidden pages.
	HeartbeatSend    time.Duration
	HeartbeatReceive time.Duration

	// ConnectTimeout is the time for CONNECT, after which the session is closed
	// with 4500. The default is 60 seconds.
	ConnectTimeout time.Duration `default:"60s"`

	// DisconnectTimeout is how long a client that got the RECEIPT of its
	// DISCONNECT may take to close, before the broker does. The default is 5
	// seconds.
	DisconnectTimeout time.Duration `default:"5s"`

	// FrameLimit is the size of a frame in bytes. The default is 64 KiB. The
	// transport's limit on messages has to let it through.
	FrameLimit int `default:"64KiB" unit:"bytes"`

	// BodyLimit is the size of a frame's body in bytes. The default is
	// FrameLimit.
	BodyLimit int `unit:"bytes"`

	// HeaderLimit is the size of a frame's command and headers in bytes, and of
	// all of CONNECT. The default is 16 KiB, or FrameLimit where that is less.
	HeaderLimit int `unit:"bytes"`

	// HeaderCountLimit is the number of headers of a frame. The default is 100.
	HeaderCountLimit int `default:"100"`

	// SubscriptionLimit is the number of subscriptions of a session. The
	// default is 1,000.
	SubscriptionLimit int `default:"1000"`

	// PatternLimit is the number of those that may be patterns. The default is
	// 100; -1 allows none. A pattern has at most 200 bytes, and {name} but no
	// regular expressions.
	PatternLimit int `default:"100" negative:"off"`

	// DestinationLimit is the length of the destination of a SEND or SUBSCRIBE
	// in bytes. The default is 1 KiB.
	DestinationLimit int `default:"1KiB" unit:"bytes"`

	// TransactionLimit is the number of open transactions of a session. The
	// default is 10.
	TransactionLimit int `default:"10"`

	// TransactionFrameLimit and TransactionByteLimit are what the open
	// transactions of a session may hold. The defaults are 1,000 frames and
	// 1 MiB.
	TransactionFrameLimit int `default:"1000"`
	TransactionByteLimit  int `default:"1MiB" unit:"bytes"`

	// UserLimit is the number of sessions of one user that may be connected. The default
	// is no limit; nobody is no user.
	UserLimit int

	// PublishRate is the number of SENDs a second that a user may make, in the long run
	// and from all sessions of this node, and PublishBurst how many at once, after
	// silence; nobody's sessions count by themselves. Those of a transaction count when
	// it is committed. The default is no limit; for PublishBurst it is PublishRate.
	PublishRate  int
	PublishBurst int

	// QueueCountLimit is the number of queues. The default is 10,000.
	QueueCountLimit int `default:"10000"`

	// QueueLimit and QueueByteLimit are what a queue may hold, unacknowledged
	// messages included. The defaults are 10,000 messages and 16 MiB.
	QueueLimit     int `default:"10000"`
	QueueByteLimit int `default:"16MiB" unit:"bytes"`

	// QueueIdle is how long a queue without subscribers keeps its messages: when
	// none has come for so long, and none has been given back, the queue is
	// dropped with all it has, within a tenth of that time more. Otherwise
	// queues that nobody reads would hold QueueCountLimit and memory for
	// good. The default is 1 hour.
	QueueIdle time.Duration `default:"1h"`

	// UnackedLimit is the number of messages of a queue that a subscription may
	// have unacknowledged: it gets no more until it acknowledges some. The
	// default is 1,000.
	UnackedLimit int `default:"1000"`
}

// A LoginFunc decides over a CONNECT, by its headers: login, passcode and
// whatever the front-end adds. c has what the session was opened with: what the function
// does not set of c.Identity and c.Value stays. Headers must be copied to be kept. An
// *Error tells the client its own text, any other error only that it is refused.
//
// It runs on the session's goroutine. ctx ends with the session.
type LoginFunc func(ctx context.Context, c *Client, h Headers) error

// Complete returns the options with their defaults filled in. An error is an
// *OptionError.
func (o Options) Complete() (Options, error) {
	option.SetDefaults(&o)
	if len(o.UserPrefix) > 1 {
		o.UserPrefix = strings.TrimSuffix(o.UserPrefix, "/")
	}
	o.defaultPrefixes()
	o.BodyLimit = cmp.Or(o.BodyLimit, o.FrameLimit)
	o.HeaderLimit = cmp.Or(o.HeaderLimit, min(16<<10, o.FrameLimit))
	o.PublishBurst = cmp.Or(o.PublishBurst, o.PublishRate)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	return o, o.check()
}

// check returns what is wrong with options, defaults filled in.
func (o Options) check() error {
	if name, value := option.Negative(o); name != "" {
		return &OptionError{name, -1, strconv.FormatInt(value, 10), "not be negative"}
	}
	if o.PatternLimit < -1 {
		return &OptionError{"PatternLimit", -1, strconv.Itoa(o.PatternLimit), "be -1 or more"}
	}
	if o.PublishRate == 0 && o.PublishBurst > 0 {
		return &OptionError{"PublishBurst", -1, strconv.Itoa(o.PublishBurst), "have a PublishRate with it"}
	}
	if o.Rules != nil && o.Rules.Separator() != o.Separator {
		return &OptionError{"Rules", -1, o.Rules.Separator(), "have the Separator of these options, " + strconv.Quote(o.Separator)}
	}
	if err := o.checkHistory(); err != nil {
		return err
	}
	return o.checkPrefixes()
}
