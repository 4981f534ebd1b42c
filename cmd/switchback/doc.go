// Switchback serves SockJS endpoints.
//
//	switchback serve                     the pages, /echo, /broadcast and /chat
//	switchback serve --config FILE       the endpoints that the file lists
//	switchback config check FILE         whether the file is right, and what its rules say
//	switchback config example            every key, with its default
//	switchback publish DESTINATION [BODY]   a message, by the admin listener of a server
//	switchback sessions                  the sessions of a server
//	switchback disconnect --user USER|--session ID
//	switchback history [TOPIC]           what a server keeps: read, exported, trimmed
//	switchback cluster status            the node that is asked, and the others
//	switchback bench idle|echo|fanout|open URL   load on any SockJS server, measured
//	switchback token make|check          a token of auth.jwt, and what becomes of it
//	switchback version
//	switchback completion bash|zsh|fish   what makes a shell complete these words
//
// A flag goes before the environment (SWITCHBACK_ADDR for --addr, and so on),
// that before the configuration file, and that before the default.
//
// SWITCHBACK_ADMIN_TOKEN is the token of the admin listener, for serve and for the
// commands that speak to it, SWITCHBACK_HISTORY is where history is kept, and
// SWITCHBACK_CLUSTER_SECRET the secret of a cluster's nodes; there are no flags for these,
// since others on the machine see flags.
//
// When it serves, it says so in one line on stdout; it logs to stderr. SIGINT
// and SIGTERM stop it: it opens no more sessions, closes every one with 1001, serves
// what polling clients have not fetched yet until the disconnect delay has passed, and
// exits with 0, after the shutdown timeout at the latest. A second
// signal ends it at once. It exits with 1 when something is wrong and with 2
// when it was called wrongly; it does not listen before everything is right.
//
// # Configuration
//
// The file is YAML. A key that is not known, a value that cannot be, a key or a
// path that is there twice: each is told with its line and with what it may be.
// Durations have a unit (25s, 1m30s); sizes are bytes, or have one (128KiB,
// 1MiB, 2GiB). A list that is empty is none, and not the default, which for hosts is
// the same; endpoints and logins must not be empty. Every key may be left out, but for
// an endpoint's path and handler:
//
//	addr: 127.0.0.1:8081          # default
//	log_level: info               # default; debug, warn, error
//	                              # at all but debug: at most 100 lines of a message a minute
//	log_format: text              # default; or json: each line is an object
//	shutdown_timeout: 10s         # default
//	memory_limit: 1GiB            # default: of what clients have it hold, over all endpoints;
//	                              # a quarter of it for what they send and is not whole, one for queues of STOMP
//	page: false                   # the pages at / and /chat.html, which use /echo, /broadcast and /chat
//	client_url: /sockjs.min.js    # for all endpoints that have none of their own
//
//	http:
//	  header_timeout: 10s         # default: in which a request's header must be complete
//	  idle_timeout: 120s          # default: of a connection without a request
//	  header_limit: 16KiB         # default
//
//	admin:                        # default: none; see [switchback/web/admin]
//	  addr: 127.0.0.1:8082        # a listener of its own; on any but a loopback address it needs a token
//	  token_file: admin.token     # relative to the file's folder; without a token only
//	                              # /metrics, /healthz and /readyz are served
//
//	tls:                          # HTTP/2 comes with it
//	  cert: cert.pem              # relative to the file's folder; read again when it changes,
//	  key: key.pem                # and at SIGHUP, while connections keep what they have
//	  parked: true                # default; false leaves TLS to net/http, at 20 to 50 KiB a session
//	  handshake_limit: 1024       # default: handshakes under way; further clients wait their turn
//
//	endpoints:
//	  - path: /chat               # or several, which are one: [/chat, /v1/chat]
//	    handler: broadcast        # or echo, chat, stomp; config example has all
//	    implementation: igm       # default: switchback
//	    allowed_origins: ["https://example.com", "https://*.example.com:[8080,8081]"]
//	    trusted_proxies: [10.0.0.0/8]
//	    forwarded: x-forwarded    # default: either
//	    hosts: [chat.example.com] # default: any that cannot be another's
//	    heartbeat_delay: 25s      # default; or off
//
//	static:                       # one folder of files, or a list of those
//	  path: /
//	  dir: public                 # relative to the file's folder
//
// Under endpoints, a key is the name of a field of [switchback/transport.Options] in
// snake case: client_url for ClientURL, raw_websocket for RawWebSocket. Every field that
// is a text, a number, a duration, true or false, or a list has one. What it means and
// its default are there.
//
// Who may open sessions is under auth. Where it is there, every endpoint asks:
//
//	auth:
//	  required: true              # default; false: nobody may come, too
//	  jwt:                        # whose tokens are accepted; none: tickets alone
//	    secret_file: secret       # of HS256, 32 bytes or more; relative to the file's folder
//	    key_file: public.pem      # or public keys: PEM, or a JWK set
//	    jwks_url: https://id.example.com/keys  # or the URL of one, which is fetched again
//	    algorithms: [ES256]       # default: all that the keys can take
//	    issuer: https://id.example.com         # default: any
//	    audience: chat            # default: any
//	    user_claim: sub           # default
//	    roles_claim: roles        # default; a dot leads into an object
//	    optional_expiry: false    # default: a token has to have exp
//	    leeway: 30s               # default; or off
//	    token_limit: 8KiB         # default
//	    header: X-Token           # where else than in Authorization a token may be;
//	    query: access_token       # default: nowhere
//	    cookie: token
//	  tickets:                    # ?ticket=..., which the rest of the program issues
//	    life: 30s                 # default
//	    limit: 100000             # default: of the last life
//	endpoints:
//	  - {path: /chat, handler: broadcast, auth: optional}  # or required, off
//
// Of a STOMP endpoint a session may be opened by nobody: who it is CONNECT has to say, by
// a token in Authorization, in the named header or in passcode, or as one of the logins.
// A token in the header Authorization of any other frame renews the identity. What the
// fields of [switchback/session/auth.Options] mean is there.
//
// The endpoints whose handler is stomp have one broker. Its keys are those of
// [switchback/handler/stomp.Options], in the same way, and logins:
//
//	stomp:
//	  topics: [/topic, /queue]    # default: each message to all who subscribed
//	  queues: [/work]             # default: none; each message to one subscriber
//	  apps: []                    # of functions, which a program in Go has
//	  logins:                     # none: everybody may connect
//	    - {login: guest, passcode: guest}
//	  heartbeat_send: 10s         # default: none
//	  heartbeat_receive: 10s      # default: none
//	  frame_limit: 64KiB          # default
//
// The message_limit, body_limit and queue_limit of these endpoints, where they are
// not given, let the largest frame through. What is seldom meant is a warning in
// the log at start: apps, which have no functions here, and an endpoint that lets
// every page publish ("*" or null in allowed_origins, say, and no logins).
//
// What is published is kept where history says so, for who comes late and for who comes
// back:
//
//	history:
//	  store: sqlite:history.db    # relative to the file's folder; or postgres://user@host/database;
//	                              # default: memory:, which ends with the process
//	  topics:                     # which are kept; the first that matches decides
//	    - {topics: "/topic/news/*", count: 1000, age: 720h, bytes: 64MiB}  # default: all, for good
//	    - {topics: "/topic/alarm/*", unread: true}   # clients are told how much is unread
//	    - {topics: "/topic/prices/*", mode: fast, count: 100}  # default: durable
//
// The topics are Ant patterns of destinations of STOMP; that of a user is /user/NAME/... .
// With durable, who publishes is answered, and who has subscribed gets it, when it is on the
// disk; with fast at once, and it is there within a second. The other keys are those of
// [switchback/handler/history.Options].
//
// An endpoint whose handler is chat has rooms, in which what is said is kept, by the
// policy of history.topics that matches a room, /chat/r, or all of it. What it may be
// told are the fields of [switchback/handler/chat.Options], and protocol:
//
//	endpoints:
//	  - path: /chat
//	    handler: chat
//	    chat:
//	      protocol: json          # default; text: one room of plain texts
//	      text_limit: 4KiB        # default
//
// Its users are who has opened their sessions, by auth; without auth, whom ?user= in the URL
// names. It asks the rules for connect of a session, not for subscribe.
//
// Several nodes serve the same topics where an engine carries publications between them: what
// is published on one reaches those that have subscribed on any. A node is a process.
//
//	cluster:
//	  name: prod                  # default: switchback; the same on all nodes
//	  secret_file: cluster.secret # of nats: embedded: 32 characters or more, the same on all nodes
//	engine:
//	  nats: embedded              # or nats://host:4222, several with commas between them
//	  redis: redis://host:6379    # or this: one server, Sentinel, or a Redis Cluster
//	  routes:                     # of nats: embedded
//	    listen: 10.0.0.4:7401     # where other nodes connect; never a public address
//	    seeds: [10.0.0.5:7401]    # some of the others; a name may stand for several
//	  on_loss: keep               # default; close: who may have missed a message is closed with 1013
//	  outbox: 8MiB                # default
//
// Embedded, each node has a NATS server of its own and is connected with all others, which is
// for up to about five; --cluster-listen and --node-seed go before routes. While the server is
// away, sessions go on, and those of one node hear each other; what is published is kept, up
// to outbox, and arrives in its order when the server is back. When that is full, who
// publishes is told: by ERROR over STOMP, by 503 over the API. What could be lost, by a node
// that was killed, say, is in the log, and counted. Queues of STOMP are refused beside an
// engine, as is history that is not in PostgreSQL. See [switchback/handler/engine].
//
// Rules say who may connect, subscribe and send, over STOMP and at other endpoints, and
// who may make, join and read rooms: see
// [switchback/handler/rules]. The first that decides wins:
//
//	rules:
//	  - {on: subscribe, to: "/alarm/{user}", allow: authenticated}
//	  - {on: send, to: "/api/**", allow: {role: admin}}
//	  - {deny: all}
//
// on is connect, subscribe, send, create, join or read, to an Ant pattern in which {user}
// is the caller's name; either may be a list. Without to a rule is for every destination,
// without on for all but connect. allow lets whom it names and refuses everybody else; deny refuses
// whom it names and leaves everybody else to the rules that follow: all, authenticated,
// anonymous, {role: admin} or {user: kim}, where role and user may be lists. The
// destination of an endpoint without STOMP is its path: to open a session there is to
// subscribe (403), a message is a send (1008).
//
// With rules, what none of them decides is refused, but for connect; so the last line
// here only says so. {allow: all} in its place has clients subscribe to and publish what
// they like, as in Spring. A subscription by pattern is allowed where all is that it
// could receive. config check says what the rules of a file decide, and by which line.
//
// A file that lists no endpoints leaves the pages, /echo, /broadcast and /chat as they
// are without one. A file that lists some, or files, gets the page only with page:
// true. The longest path wins where one endpoint is below another. Of several paths the
// first is the endpoint's name, in the log and as a broadcast's topic: sessions and
// limits are those of all. Each broadcast endpoint is a room of its own. Where the page
// is served, the iframe pages load the sockjs-client that is embedded in the binary;
// elsewhere, that of [switchback/transport.DefaultClientURL]; client_url and
// --client-url, which is for all endpoints, name another.
//
// Files are served, to GET and HEAD, where no endpoint is, and before the page. A folder
// is its index.html, and never a list. What begins with a dot, and what a symbolic link
// has outside of the folder, is not served. Another folder may take its place at any time.
//
// At debug, each session is a line in the log when it has opened, and one when it has
// closed, with its age, its messages and their bytes each way, code and reason.
package main
