package main

// advice is what to write, or to do, instead of keys that a file is often given and
// does not know: those of other servers, mostly Spring's. Each text is right wherever the
// key stands. Known keys in the wrong place are not listed: see suggest.
var advice = map[string][]string{
	"addr, beside endpoints, is a host and port such as 127.0.0.1:8081": {
		"address", "bind", "listen", "port", "server",
	},
	"addr, beside endpoints, is where the server listens; hosts of an endpoint are the names that are its own": {
		"host",
	},
	"log_level, beside endpoints, is debug, info, warn or error": {
		"level", "log", "logging",
	},
	"log_format, beside endpoints, is text or json": {
		"format", "log_encoding", "log_json",
	},
	"tls, beside endpoints, has cert and key": {
		"https", "ssl",
	},
	"admin, beside endpoints, has addr, where /metrics and /healthz are, too, and token_file": {
		"actuator", "admin_addr", "health", "management", "metrics", "prometheus",
	},
	"admin.token_file names the file that holds the token of the admin listener; auth, beside endpoints, says who is asking": {
		"token",
	},
	"endpoints is a list, each with a path and a handler": {
		"add_endpoint", "endpoint",
	},
	"static, beside endpoints, has a path and the dir whose files are there": {
		"directory", "files", "folder", "public", "resource_handlers", "resources", "root",
	},
	"path is where an endpoint is: one, or a list": {
		"paths", "url", "urls",
	},
	"path is where an endpoint is; stomp.topics, stomp.queues and stomp.apps list how destinations begin": {
		"prefix",
	},
	"handler says what an endpoint serves": {
		"kind", "type",
	},
	"allowed_origins of an endpoint lists origins, and patterns such as https://*.example.com": {
		"allowed_origin_patterns", "cors", "cors_origins", "origin_patterns", "origins",
	},
	"every endpoint serves SockJS with all its transports; its raw_websocket: true adds native WebSocket at the path itself": {
		"native_websocket", "sockjs", "websocket", "with_sockjs",
	},
	"disabled_transports of an endpoint lists those that are off": {
		"enabled_transports", "transports",
	},
	"response_limit of an endpoint is where a stream ends": {
		"stream_bytes_limit",
	},
	"client_url is the sockjs-client that iframes load": {
		"client_library_url", "sockjs_url",
	},
	"cookie_needed of an endpoint sets JSESSIONID for load balancers": {
		"jsessionid", "session_cookie_needed", "sticky",
	},
	"queue_limit of an endpoint is what a client may leave unread, in bytes": {
		"http_message_cache_size", "send_buffer_size_limit",
	},
	"message_limit of an endpoint is the size of a message; stomp.frame_limit that of a STOMP frame": {
		"max_frame_size", "max_message_size", "message_size_limit",
	},
	"write_timeout of an endpoint is the time for a client to take what is written": {
		"send_time_limit",
	},
	"disconnect_delay of an endpoint is how long a session outlives its last connection": {
		"session_timeout",
	},
	"heartbeat_delay of an endpoint is SockJS's; STOMP's are stomp.heartbeat_send and stomp.heartbeat_receive": {
		"heartbeat", "heartbeat_interval", "heartbeat_time", "heartbeat_value", "heartbeats", "ping_interval",
	},
	"stomp.topics lists the prefixes of the simple broker": {
		"broker", "enable_simple_broker", "simple_broker",
	},
	"stomp.apps lists the prefixes of the application": {
		"app_destination_prefixes", "app_prefix", "app_prefixes", "application_destination_prefixes", "application_prefixes",
	},
	"stomp.topics, stomp.queues and stomp.apps list how destinations begin": {
		"destination_prefix", "destination_prefixes", "prefixes",
	},
	"stomp.user_prefix is how destinations of users begin": {
		"user_destination_prefix", "user_prefixes",
	},
	"stomp.logins lists who may connect; stomp.user_prefix is how destinations of users begin": {
		"user",
	},
	"stomp.logins lists who may connect, each with a login and a passcode": {
		"accounts", "credentials", "login", "passcode", "password", "passwords", "users",
	},
	"stomp.logins lists who may connect; what else is decided, in Go: see Login and Authorize in handler/stomp.Options": {
		"interceptors",
	},
	"rules, beside endpoints, list who may do what: allow or deny to all, authenticated, anonymous, {role: admin} or {user: kim}": {
		"acl", "authorize", "destination_matchers", "message_matchers", "permissions", "permit", "roles", "security",
	},
	"auth, beside endpoints, says who is asking: auth.jwt whose tokens are accepted, auth.tickets how long tickets live": {
		"authentication", "identity", "oauth2", "ticket", "tokens",
	},
	"auth.jwt.secret_file, key_file or jwks_url says what tokens are verified with; they are files, so that no secret is in this one": {
		"hmac_secret", "jwk_set_uri", "jwks", "jwks_uri", "jwt_secret", "public_key", "public_key_location", "secret", "signing_key",
	},
	"stomp.separator is / or .": {
		"path_matcher", "path_separator",
	},
	"stomp.connect_timeout is the time for CONNECT": {
		"time_to_first_message",
	},
	"messages are not relayed to another broker: topics and queues are kept here": {
		"broker_relay", "enable_stomp_broker_relay", "relay", "relay_host", "relay_port", "stomp_broker_relay",
	},
	"order is always kept": {
		"preserve_publish_order", "preserve_receive_order",
	},
	"selectors are not known here: a client gets all that is sent to its destination": {
		"selector", "selector_header", "selector_header_name",
	},
}
