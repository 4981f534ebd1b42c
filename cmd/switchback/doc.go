// Switchback serves SockJS endpoints.
//
//	switchback serve                     the test page, /echo and /broadcast
//	switchback serve --config FILE       the endpoints that the file lists
//	switchback bench idle|echo|fanout|open URL   load on any SockJS server, measured
//	switchback token make|check          a token of auth.jwt, and what becomes of it
//	switchback version
//
// A flag goes before the environment (SWITCHBACK_ADDR for --addr, and so on),
// that before the configuration file, and that before the default.
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
//	shutdown_timeout: 10s         # default
//	memory_limit: 1GiB            # default: of what clients have it hold, over all endpoints;
//	                              # a quarter of it for what they send and is not whole, one for queues of STOMP
//	page: false                   # the test page at /, which uses /echo and /broadcast
//	client_url: /sockjs.min.js    # for all endpoints that have none of their own
//
//	http:
//	  header_timeout: 10s         # default: in which a request's header must be complete
//	  idle_timeout: 120s          # default: of a connection without a request
//	  header_limit: 16KiB         # default
//
//	tls:                          # HTTP/2 comes with it
//	  cert: cert.pem              # relative to the file's folder
//	  key: key.pem
//
//	endpoints:
//	  - path: /chat
//	    handler: broadcast        # or echo, stomp, close, amplify
//	    implementation: igm       # default: switchback
//	    allowed_origins: ["https://example.com", "https://*.example.com:[8080,8081]"]
//	    trusted_proxies: [10.0.0.0/8]
//	    forwarded: x-forwarded    # default: either
//	    hosts: [chat.example.com] # default: any that cannot be another's
//	    heartbeat_delay: 25s      # default; or off
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
// A file that lists no endpoints leaves the page, /echo and /broadcast as they
// are without one. A file that lists some gets the page only with page: true.
// The longest path wins where one endpoint is below another. Each broadcast
// endpoint is a room of its own. Where the page is served, the iframe pages
// load the sockjs-client that is embedded in the binary; elsewhere, that of
// [switchback/transport.DefaultClientURL]; client_url and --client-url, which
// is for all endpoints, name another.
package main
