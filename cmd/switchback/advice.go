package main

// The keys that a file is often given and does not know: those of other servers,
// mostly Spring's, and those that stand in the wrong place. Each is answered with
// the key that does it, or with what to do instead. Dashes, and capitals in place
// of underscores, make no difference.

const (
	adviceAddr      = "addr is a host and port such as 127.0.0.1:8081"
	adviceEndpoint  = "it belongs to an endpoint: endpoints is a list, each with a path and a handler"
	adviceStomp     = "it belongs under stomp, beside endpoints: all endpoints whose handler is stomp share it"
	adviceTLS       = "tls, beside endpoints, has cert and key"
	adviceFiles     = "files are for the web server in front; a program in Go has them beside an endpoint, see transport.Endpoint.Register"
	adviceOrigins   = "allowed_origins lists origins, and patterns such as https://*.example.com"
	adviceWebSocket = "every endpoint serves SockJS with all its transports; raw_websocket: true adds native WebSocket at the path itself"
	adviceHooks     = "who may do what is decided in Go: see Login and Authorize in handler/stomp.Options"
	adviceRelay     = "messages are not relayed to another broker: topics and queues are kept here"
	advicePrefixes  = "topics, queues and apps each list their prefixes"
	adviceOrder     = "order is always kept"
)

// rootAdvice is for the file itself.
var rootAdvice = advice{
	adviceAddr:     {"address", "bind", "host", "listen", "port", "server"},
	adviceEndpoint: {"allowed_origin_patterns", "allowed_origins", "cors", "engine", "handler", "heartbeat_delay", "origins", "path", "paths", "raw_websocket", "sockjs", "trusted_proxies", "websocket", "with_sockjs"},
	adviceStomp:    {"app_prefixes", "apps", "broker", "heartbeat", "heartbeat_receive", "heartbeat_send", "logins", "queues", "relay", "simple_broker", "topics", "user_prefix"},
	adviceTLS:      {"cert", "https", "key", "ssl"},
	adviceFiles:    {"files", "public", "root", "static"},

	"log_level is debug, info, warn or error": {"level", "log", "logging"},
}

// endpointAdvice is for an endpoint.
var endpointAdvice = advice{
	adviceOrigins:   {"allowed_origin_patterns", "cors", "cors_origins", "origin_patterns", "origins"},
	adviceWebSocket: {"native_websocket", "sockjs", "websocket", "with_sockjs"},
	adviceStomp:     {"app_prefixes", "apps", "broker", "heartbeat_receive", "heartbeat_send", "logins", "queues", "relay", "simple_broker", "stomp", "strict", "topics", "user_prefix"},
	adviceTLS:       {"cert", "key", "ssl", "tls"},
	adviceFiles:     {"files", "public", "static"},
	adviceHooks:     {"auth", "authorize", "interceptors", "jwt", "login", "rules"},

	"handler says what is served": {"kind", "type"},
	"path is where the endpoint is; one entry has one path, so list another endpoint for another": {"paths", "prefix", "url", "urls"},
	"disabled_transports lists those that are off":                                                {"enabled_transports", "transports"},
	"heartbeat_delay is SockJS's; STOMP's are heartbeat_send and heartbeat_receive, under stomp":  {"heart_beat", "heartbeat", "heartbeat_interval", "heartbeat_time", "ping_interval"},
	"response_limit is where a stream ends":                                                       {"stream_bytes_limit"},
	"client_url is the sockjs-client that iframes load":                                           {"client_library_url", "sockjs_url"},
	"cookie_needed sets JSESSIONID for load balancers":                                            {"jsessionid", "session_cookie_needed", "sticky"},
	"queue_limit is what a client may leave unread, in bytes":                                     {"http_message_cache_size", "send_buffer_size_limit"},
	"message_limit is the size of a message; of a STOMP frame, frame_limit under stomp":           {"max_message_size", "message_size_limit"},
	"write_timeout is the time for a client to take what is written":                              {"send_time_limit"},
	"disconnect_delay is how long a session outlives its last connection":                         {"disconnect_timeout", "session_timeout"},
}

// stompAdvice is for the broker.
var stompAdvice = advice{
	adviceEndpoint: {"allowed_origin_patterns", "allowed_origins", "cors", "endpoint", "endpoints", "handler", "origins", "path", "paths", "raw_websocket", "sockjs", "websocket", "with_sockjs"},
	adviceHooks:    {"auth", "authorize", "interceptors", "jwt", "roles", "rules", "security", "token"},
	adviceRelay:    {"broker_relay", "enable_stomp_broker_relay", "relay", "relay_host", "relay_port", "stomp_broker_relay"},
	advicePrefixes: {"destination_prefixes", "prefix", "prefixes"},
	adviceOrder:    {"preserve_publish_order", "preserve_receive_order"},

	"topics lists the prefixes of the simple broker":                                  {"broker", "enable_simple_broker", "simple_broker"},
	"apps lists the prefixes of the application":                                      {"app_destination_prefixes", "app_prefix", "app_prefixes", "application_destination_prefixes", "application_prefixes"},
	"user_prefix is how destinations of users begin":                                  {"user_destination_prefix", "user_prefixes"},
	"heartbeat_send and heartbeat_receive are the two directions":                     {"heart_beat", "heartbeat", "heartbeat_delay", "heartbeat_interval", "heartbeat_time", "heartbeat_value", "heartbeats"},
	"logins lists who may connect":                                                    {"accounts", "credentials", "passwords", "user", "users"},
	"separator is / or .":                                                             {"path_matcher", "path_separator"},
	"frame_limit is the size of a frame":                                              {"max_frame_size", "message_limit", "message_size_limit"},
	"connect_timeout is the time for CONNECT":                                         {"time_to_first_message"},
	"write_timeout and queue_limit of an endpoint are for clients that do not read":   {"send_buffer_size_limit", "send_time_limit"},
	"selectors are not known here: a client gets all that is sent to its destination": {"selector", "selector_header", "selector_header_name"},
}

// advice is the keys for each text.
type advice map[string][]string

// settings returns settings with those keys, too.
func (a advice) settings(settings map[string]setting) map[string]setting {
	for text, names := range a {
		for _, name := range names {
			settings[name] = setting{instead: text}
		}
	}
	return settings
}
