package guard

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// A verdict is what a guard makes of a request.
type verdict struct {
	client  string // its address
	own     string // scheme and host that the client asked for: the endpoint's own origin
	allowed bool
}

// guardCases tell who a client is, what it asked for, and whether the page that
// asks may use the endpoint, by what comes before the request and in it.
var guardCases = []struct {
	what    string
	options Options
	trusted string // proxies
	from    string // the connection's peer, tls: before it where it came over TLS
	at      string // the address that it connected to; 192.0.2.80:8081 if empty
	headers string // one a line
	want    verdict
}{{
	what: "a page is at home where it comes from", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: http://app.example",
	want:    verdict{"192.0.2.1", "http://app.example", true},
}, {
	what: "another scheme is foreign", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: https://app.example",
	want:    verdict{"192.0.2.1", "http://app.example", false},
}, {
	what: "another scheme is foreign over TLS, too", from: "tls:192.0.2.1",
	headers: "Host: app.example\nOrigin: http://app.example",
	want:    verdict{"192.0.2.1", "https://app.example", false},
}, {
	what: "another port is foreign", from: "tls:192.0.2.1",
	headers: "Host: app.example\nOrigin: https://app.example:8443",
	want:    verdict{"192.0.2.1", "https://app.example", false},
}, {
	what: "a port that is no default is named by both", from: "tls:192.0.2.1",
	headers: "Host: app.example:8443\nOrigin: https://app.example:8443",
	want:    verdict{"192.0.2.1", "https://app.example:8443", true},
}, {
	what: "a default port in Host makes no difference", from: "192.0.2.1",
	headers: "Host: app.example:80\nOrigin: http://app.example",
	want:    verdict{"192.0.2.1", "http://app.example:80", true},
}, {
	what: "a default port in Origin makes no difference", from: "tls:192.0.2.1",
	headers: "Host: app.example\nOrigin: https://app.example:443",
	want:    verdict{"192.0.2.1", "https://app.example", true},
}, {
	what: "nor does case", from: "192.0.2.1",
	headers: "Host: APP.example\nOrigin: http://app.Example",
	want:    verdict{"192.0.2.1", "http://APP.example", true},
}, {
	what: "an IPv6 host", from: "[2001:db8::1]",
	headers: "Host: [2001:db8::5]:8080\nOrigin: http://[2001:db8::5]:8080",
	want:    verdict{"2001:db8::1", "http://[2001:db8::5]:8080", true},
}, {
	what: "a client that is no browser names no page", from: "192.0.2.1",
	headers: "Host: app.example",
	want:    verdict{"192.0.2.1", "http://app.example", true},
}, {
	what: "an IPv4 client of an IPv6 socket", from: "[::ffff:192.0.2.1]",
	headers: "Host: app.example",
	want:    verdict{"192.0.2.1", "http://app.example", true},
}, {
	what: "no proxy is trusted", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto: https",
	want:    verdict{"10.0.0.1", "http://app.example", false},
}, {
	what: "a stranger's word", trusted: "10.0.0.0/8", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto: https\nForwarded: for=203.0.113.9;proto=https",
	want:    verdict{"192.0.2.1", "http://app.example", false},
}, {
	what: "one proxy", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto: https\nX-Forwarded-Host: app.example",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "a proxy that tells the scheme alone", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-Proto: https",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "an IPv4 proxy of an IPv6 socket", trusted: "10.0.0.0/8", from: "[::ffff:10.0.0.1]",
	headers: "Host: app.example\nX-Forwarded-For: ::ffff:203.0.113.9",
	want:    verdict{"203.0.113.9", "http://app.example", true},
}, {
	what: "a proxy whose address is written as IPv6", trusted: "::ffff:10.0.0.0/104", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-Proto: https",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "clients with ports", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nX-Forwarded-For: [2001:db8::1]:4711",
	want:    verdict{"2001:db8::1", "http://app.example", true},
}, {
	what: "a port of the host", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example:8443\nX-Forwarded-Host: app.example\nX-Forwarded-Port: 8443\nX-Forwarded-Proto: https",
	want:    verdict{"10.0.0.1", "https://app.example:8443", true},
}, {
	what: "two proxies", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nX-Forwarded-For: 203.0.113.9, 10.0.0.2",
	want:    verdict{"203.0.113.9", "http://app.example", true},
}, {
	what: "what the client says of itself", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nX-Forwarded-For: 198.51.100.7, 203.0.113.9",
	want:    verdict{"203.0.113.9", "http://app.example", true},
}, {
	what: "a client that the proxy does not know", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nX-Forwarded-For: 203.0.113.9, unknown",
	want:    verdict{"10.0.0.1", "http://app.example", true},
}, {
	what: "RFC 7239", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\n" + `Forwarded: for="[2001:db8::1]:4711";proto=https;host=app.example, for=10.0.0.2`,
	want:    verdict{"2001:db8::1", "https://app.example", true},
}, {
	what: "a client's RFC 7239, which the proxy passes on", trusted: "::1", from: "[::1]",
	headers: "Host: app.example\nForwarded: for=10.0.0.1;host=intranet\nX-Forwarded-For: 203.0.113.9",
	want:    verdict{"203.0.113.9", "http://app.example", true},
}, {
	what: "Traefik's scheme of a WebSocket over TLS", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-Host: app.example\nX-Forwarded-Port: 443\nX-Forwarded-Proto: wss",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "and of one without", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: http://app.example\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto: ws",
	want:    verdict{"203.0.113.9", "http://app.example", true},
}, {
	what: "the same by RFC 7239", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nForwarded: for=203.0.113.9;proto=wss",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "a scheme in upper case", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-Proto: \tHTTPS ",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "a scheme that is none says nothing", trusted: "10.0.0.0/8", from: "tls:10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-Proto: unknown",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "a proxy that talks TLS to us, but not to its client", trusted: "10.0.0.0/8", from: "tls:10.0.0.1",
	headers: "Host: app.example\nOrigin: http://app.example\nX-Forwarded-Proto: http",
	want:    verdict{"10.0.0.1", "http://app.example", true},
}, {
	what: "each proxy adds to all lists", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9, 10.0.0.2\nX-Forwarded-Host: app.example, inner\nX-Forwarded-Port: 443, 8080\nX-Forwarded-Proto: https, http",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "each in lines of its own", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-For: 10.0.0.2\nX-Forwarded-Host: app.example\nX-Forwarded-Host: inner\nX-Forwarded-Proto: https\nX-Forwarded-Proto: http",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "the first proxy told the scheme, both the host", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9, 10.0.0.2\nX-Forwarded-Host: app.example, inner\nX-Forwarded-Proto: https",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "the first proxy told the host, both the scheme", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9, 10.0.0.2\nX-Forwarded-Host: app.example\nX-Forwarded-Proto: https, http",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "the last proxy told scheme and host anew", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9, 10.0.0.2, 10.0.0.3\nX-Forwarded-Host: app.example\nX-Forwarded-Proto: https",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "a client's list before the proxy's", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 10.9.9.9, 203.0.113.9\nX-Forwarded-Host: app.example, shop.example\nX-Forwarded-Proto: https, http",
	want:    verdict{"203.0.113.9", "http://shop.example", false},
}, {
	what: "a client's lists that are longer than the addresses", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-Host: app.example, shop.example\nX-Forwarded-Proto: https, https, http",
	want:    verdict{"203.0.113.9", "http://shop.example", false},
}, {
	what: "without addresses the nearest proxy's word counts alone", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-Host: app.example, shop.example\nX-Forwarded-Proto: https, http",
	want:    verdict{"10.0.0.1", "http://shop.example", false},
}, {
	what: "a trusted proxy whose client nobody tells", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 10.0.0.2\nX-Forwarded-Host: app.example, inner\nX-Forwarded-Proto: https, http",
	want:    verdict{"10.0.0.2", "https://app.example", true},
}, {
	what: "a hop that hides what is before it", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9, unknown, 10.0.0.3\nX-Forwarded-Host: app.example, shop.example, inner\nX-Forwarded-Proto: https, http, http",
	want:    verdict{"10.0.0.3", "http://shop.example", false},
}, {
	what: "a proxy that adds nothing keeps its place", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-Host: app.example,\nX-Forwarded-Proto: https, ",
	want:    verdict{"203.0.113.9", "http://inner", false},
}, {
	what: "empty lists", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-For:\nX-Forwarded-Host:\nX-Forwarded-Port:\nX-Forwarded-Proto:",
	want:    verdict{"10.0.0.1", "http://inner", false},
}, {
	what: "RFC 7239, by two proxies", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nForwarded: for=203.0.113.9;proto=https;host=app.example, for=10.0.0.2;proto=http;host=inner",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "RFC 7239, in two lines", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nForwarded: for=203.0.113.9;proto=https;host=app.example\nForwarded: for=10.0.0.2",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "RFC 7239, a client's element before the proxy's", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nForwarded: for=10.9.9.9;proto=https;host=app.example, for=203.0.113.9;proto=http;host=shop.example",
	want:    verdict{"203.0.113.9", "http://shop.example", false},
}, {
	what: "RFC 7239, names in any case, spaces, and more", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\n" + `Forwarded: By=_inner; FOR="203.0.113.9:4711" ; Proto="HTTPS" ; Host="app.example";secret=_x`,
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "RFC 7239, a comma in quotes ends no element", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\n" + `Forwarded: for=203.0.113.9;proto=http;host="x, for=10.9.9.9;proto=https"`,
	want:    verdict{"203.0.113.9", "http://x, for=10.9.9.9;proto=https", false},
}, {
	what: "RFC 7239, an escaped quote ends no text", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\n" + `Forwarded: for=203.0.113.9;proto=http;host="x\", for=10.9.9.9;proto=https"`,
	want:    verdict{"203.0.113.9", "http://x\", for=10.9.9.9;proto=https", false},
}, {
	what: "RFC 7239, a quote that the client has left open", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\n" + `Forwarded: for=10.9.9.9;host="x, for=203.0.113.9;proto=https;host="app.example"`,
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "RFC 7239, a client that the proxy hides", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nForwarded: for=203.0.113.9, for=_hidden;proto=https;host=app.example",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "RFC 7239, a client that the proxy does not know", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nForwarded: for=unknown;proto=https;host=app.example",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "RFC 7239, a hidden port", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\n" + `Forwarded: for="[2001:db8::1]:_web";proto=https;host=app.example`,
	want:    verdict{"2001:db8::1", "https://app.example", true},
}, {
	what: "RFC 7239, an empty element", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example\nForwarded: for=203.0.113.9;proto=https;host=app.example, ",
	want:    verdict{"10.0.0.1", "http://inner", false},
}, {
	what: "a port of the host that the proxy passes on", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example:8443\nX-Forwarded-Proto: https\nX-Forwarded-Port: 8443",
	want:    verdict{"10.0.0.1", "https://app.example:8443", true},
}, {
	what: "the port may be the proxy's own, which browsers do not see", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-Proto: https\nX-Forwarded-Port: 8443",
	want:    verdict{"10.0.0.1", "https://app.example:8443", true},
}, {
	what: "so it may without TLS (nginx on 8080 behind a port that is mapped)", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: http://app.example\nX-Forwarded-Port: 8080",
	want:    verdict{"10.0.0.1", "http://app.example:8080", true},
}, {
	what: "another port is foreign all the same", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example:9443\nX-Forwarded-Proto: https\nX-Forwarded-Port: 8443",
	want:    verdict{"10.0.0.1", "https://app.example:8443", false},
}, {
	what: "a port that the host has is the browser's", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example:8443\nOrigin: https://app.example\nX-Forwarded-Proto: https\nX-Forwarded-Port: 8443",
	want:    verdict{"10.0.0.1", "https://app.example:8443", false},
}, {
	what: "a port of an IPv6 host", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://[2001:db8::5]:8443\nX-Forwarded-Host: [2001:db8::5]\nX-Forwarded-Proto: https\nX-Forwarded-Port: 8443",
	want:    verdict{"10.0.0.1", "https://[2001:db8::5]:8443", true},
}, {
	what: "a port of an IPv6 host without brackets", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://[2001:db8::5]:8443\nX-Forwarded-Host: 2001:db8::5\nX-Forwarded-Proto: https\nX-Forwarded-Port: 8443",
	want:    verdict{"10.0.0.1", "https://[2001:db8::5]:8443", true},
}, {
	what: "an IPv6 host with a port", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://[2001:db8::5]:8443\nX-Forwarded-Host: [2001:db8::5]:8443\nX-Forwarded-Proto: https\nX-Forwarded-Port: 443",
	want:    verdict{"10.0.0.1", "https://[2001:db8::5]:8443", true},
}, {
	what: "a host with a port", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example:8443\nOrigin: https://app.example:8443\nX-Forwarded-Proto: https\nX-Forwarded-Port: 443",
	want:    verdict{"10.0.0.1", "https://app.example:8443", true},
}, {
	what: "a port of a host over plain HTTP", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: http://app.example:8080\nX-Forwarded-Port: 8080",
	want:    verdict{"10.0.0.1", "http://app.example:8080", true},
}, {
	what: "nginx behind a TLS balancer tells its own port", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-Proto: https\nX-Forwarded-Port: 80",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "or appends it to the host", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example:80\nOrigin: https://app.example\nX-Forwarded-Proto: https",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "TLS on port 80 may be meant", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example:80\nX-Forwarded-Proto: https\nX-Forwarded-Port: 80",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "but no other port", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example:8080\nX-Forwarded-Proto: https\nX-Forwarded-Port: 80",
	want:    verdict{"10.0.0.1", "https://app.example", false},
}, {
	what: "a default port", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: http://app.example\nX-Forwarded-Proto: http\nX-Forwarded-Port: 80",
	want:    verdict{"10.0.0.1", "http://app.example", true},
}, {
	what: "Apache behind Traefik adds to the hosts, but not to ports and schemes", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: inner\nOrigin: https://app.example:8443\nX-Forwarded-For: 203.0.113.9, 10.0.0.2\nX-Forwarded-Host: app.example, app.example\nX-Forwarded-Proto: https\nX-Forwarded-Port: 8443",
	want:    verdict{"203.0.113.9", "https://app.example:8443", true},
}, {
	what: "a port by the first proxy of a host that all pass on", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example:8443\nX-Forwarded-For: 203.0.113.9, 10.0.0.2\nX-Forwarded-Proto: https, http\nX-Forwarded-Port: 8443, 8080",
	want:    verdict{"203.0.113.9", "https://app.example:8443", true},
}, {
	what: "ports that are none", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-Proto: https\nX-Forwarded-Port: https",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "over TLS of our own, port 80 is port 80", from: "tls:192.0.2.1",
	headers: "Host: app.example:80\nOrigin: https://app.example",
	want:    verdict{"192.0.2.1", "https://app.example:80", false},
}, {
	what: "a stranger's port", trusted: "10.0.0.0/8", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: http://app.example:8443\nX-Forwarded-Port: 8443",
	want:    verdict{"192.0.2.1", "http://app.example", false},
}, {
	what: "X-Forwarded-Ssl: on", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-Ssl: on",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "X-Forwarded-Scheme", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-Scheme: https",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "X-Forwarded-Scheme by each proxy", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9, 10.0.0.2\nX-Forwarded-Scheme: https, http",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "X-Forwarded-Ssl by each proxy", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9, 10.0.0.2\nX-Forwarded-Ssl: on, off",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "X-Forwarded-Proto goes before what the client may have sent", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9, 10.0.0.2\nX-Forwarded-Proto: http\nX-Forwarded-Scheme: https, https\nX-Forwarded-Ssl: on, on",
	want:    verdict{"203.0.113.9", "http://app.example", false},
}, {
	what: "what others call the scheme is not read", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nCloudfront-Forwarded-Proto: https\nFront-End-Https: on\nX-Scheme: https\nX-Url-Scheme: https",
	want:    verdict{"10.0.0.1", "http://app.example", false},
}, {
	what: "a stranger's X-Forwarded-Ssl and -Scheme", trusted: "10.0.0.0/8", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-Ssl: on\nX-Forwarded-Scheme: https",
	want:    verdict{"192.0.2.1", "http://app.example", false},
}, {
	what: "a proxy that sets X-Forwarded-*", trusted: "10.0.0.0/8", from: "10.0.0.1", options: Options{Forwarded: "x-forwarded"},
	headers: "Host: app.example\nOrigin: https://app.example\nForwarded: for=198.51.100.7;host=inner\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto: https",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "a client's Forwarded is not read there", trusted: "10.0.0.0/8", from: "10.0.0.1", options: Options{Forwarded: "x-forwarded"},
	headers: "Host: app.example\nOrigin: https://app.example\nForwarded: for=198.51.100.7;proto=https",
	want:    verdict{"10.0.0.1", "http://app.example", false},
}, {
	what: "a proxy that sets Forwarded", trusted: "10.0.0.0/8", from: "10.0.0.1", options: Options{Forwarded: "forwarded"},
	headers: "Host: app.example\nOrigin: https://app.example\nForwarded: for=203.0.113.9;proto=https\nX-Forwarded-For: 198.51.100.7\nX-Forwarded-Host: inner\nX-Forwarded-Port: 8443",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "a client's X-Forwarded-* are not read there", trusted: "10.0.0.0/8", from: "10.0.0.1", options: Options{Forwarded: "forwarded"},
	headers: "Host: app.example\nOrigin: https://app.example\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto: https",
	want:    verdict{"10.0.0.1", "http://app.example", false},
}, {
	what: "either: Forwarded, where there is no X-Forwarded-For", trusted: "10.0.0.0/8", from: "10.0.0.1",
	headers: "Host: app.example\nOrigin: https://app.example\nForwarded: for=203.0.113.9;proto=https\nX-Forwarded-Proto: http",
	want:    verdict{"203.0.113.9", "https://app.example", true},
}, {
	what: "a native client that writes its WebSocket's URL", from: "192.0.2.1",
	headers: "Host: app.example:8080\nOrigin: ws://app.example:8080",
	want:    verdict{"192.0.2.1", "http://app.example:8080", true},
}, {
	what: "and over TLS", from: "tls:192.0.2.1",
	headers: "Host: app.example\nOrigin: wss://app.example:443",
	want:    verdict{"192.0.2.1", "https://app.example", true},
}, {
	what: "ws is not wss", from: "tls:192.0.2.1",
	headers: "Host: app.example\nOrigin: ws://app.example",
	want:    verdict{"192.0.2.1", "https://app.example", false},
}, {
	what: "a native client of another host", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: ws://other.example",
	want:    verdict{"192.0.2.1", "http://app.example", false},
}, {
	what: "React Native's slash", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: http://app.example/",
	want:    verdict{"192.0.2.1", "http://app.example", true},
}, {
	what: "one slash", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: http://app.example//",
	want:    verdict{"192.0.2.1", "http://app.example", false},
}, {
	what: "a slash of another host", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: http://other.example/",
	want:    verdict{"192.0.2.1", "http://app.example", false},
}, {
	what: "a page in a file", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: file://",
	want:    verdict{"192.0.2.1", "http://app.example", false},
}, {
	what: "a user in Host is no page's", from: "192.0.2.1",
	headers: "Host: user@app.example\nOrigin: http://app.example",
	want:    verdict{"192.0.2.1", "http://user@app.example", false},
}, {
	what: "a dot at the end is another name", from: "192.0.2.1",
	headers: "Host: app.example.\nOrigin: http://app.example",
	want:    verdict{"192.0.2.1", "http://app.example.", false},
}, {
	what: "for the page, too", from: "192.0.2.1",
	headers: "Host: app.example.\nOrigin: http://app.example.",
	want:    verdict{"192.0.2.1", "http://app.example.", true},
}, {
	what: "two origins", from: "192.0.2.1",
	headers: "Host: app.example\nOrigin: http://app.example http://other.example",
	want:    verdict{"192.0.2.1", "http://app.example", false},
}, {
	what: "a page in a file that is allowed", from: "192.0.2.1", options: Options{AllowedOrigins: []string{"file://"}},
	headers: "Host: app.example\nOrigin: file://",
	want:    verdict{"192.0.2.1", "http://app.example", true},
}, {
	what: "a native client that writes an allowed host", from: "192.0.2.1", options: Options{AllowedOrigins: []string{"https://pages.example/"}},
	headers: "Host: app.example\nOrigin: wss://pages.example/",
	want:    verdict{"192.0.2.1", "http://app.example", true},
}, {
	what: "a foreign name that stands for a loopback address", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: evil.example:8081\nOrigin: http://evil.example:8081",
	want:    verdict{"127.0.0.1", "http://evil.example:8081", false},
}, {
	what: "its page names itself only where it must", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: evil.example:8081",
	want:    verdict{"127.0.0.1", "http://evil.example:8081", false},
}, {
	what: "or says that the server is its own", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: evil.example:8081\nSec-Fetch-Site: same-origin",
	want:    verdict{"127.0.0.1", "http://evil.example:8081", false},
}, {
	what: "or where it is", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: evil.example:8081\nReferer: http://evil.example:8081/page",
	want:    verdict{"127.0.0.1", "http://evil.example:8081", false},
}, {
	what: "in any spelling", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: EVIL.example.:08081\nOrigin: http://evil.example.:8081",
	want:    verdict{"127.0.0.1", "http://EVIL.example.:08081", false},
}, {
	what: "for an IPv6 address", from: "[::1]", at: "[::1]:8081",
	headers: "Host: evil.example:8081\nOrigin: http://evil.example:8081",
	want:    verdict{"::1", "http://evil.example:8081", false},
}, {
	what: "for an IPv4 address of an IPv6 socket", from: "[::ffff:127.0.0.1]", at: "[::ffff:127.0.0.1]:8081",
	headers: "Host: evil.example:8081\nOrigin: http://evil.example:8081",
	want:    verdict{"127.0.0.1", "http://evil.example:8081", false},
}, {
	what: "a name that only looks local", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: localhost.evil.example:8081\nOrigin: http://localhost.evil.example:8081",
	want:    verdict{"127.0.0.1", "http://localhost.evil.example:8081", false},
}, {
	what: "or like an address", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: 127.0.0.1.evil.example:8081\nOrigin: http://127.0.0.1.evil.example:8081",
	want:    verdict{"127.0.0.1", "http://127.0.0.1.evil.example:8081", false},
}, {
	what: "a foreign name at the default port", from: "127.0.0.1", at: "127.0.0.1:80",
	headers: "Host: evil.example\nOrigin: http://evil.example",
	want:    verdict{"127.0.0.1", "http://evil.example", false},
}, {
	what: "what a stranger says of the host", trusted: "10.0.0.0/8", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: evil.example:8081\nOrigin: http://evil.example:8081\nX-Forwarded-Host: localhost\nX-Forwarded-For: 127.0.0.1",
	want:    verdict{"127.0.0.1", "http://evil.example:8081", false},
}, {
	what: "a foreign page that is allowed", from: "127.0.0.1", at: "127.0.0.1:8081", options: Options{AllowedOrigins: []string{"https://pages.example"}},
	headers: "Host: evil.example:8081\nOrigin: https://pages.example",
	want:    verdict{"127.0.0.1", "http://evil.example:8081", true},
}, {
	what: "a foreign name where all are allowed", from: "127.0.0.1", at: "127.0.0.1:8081", options: Options{AllowedOrigins: []string{"*"}},
	headers: "Host: evil.example:8081\nOrigin: http://evil.example:8081",
	want:    verdict{"127.0.0.1", "http://evil.example:8081", true},
}, {
	what: "localhost", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: localhost:8081\nOrigin: http://localhost:8081",
	want:    verdict{"127.0.0.1", "http://localhost:8081", true},
}, {
	what: "localhost in any spelling", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: LOCALHOST.:8081\nOrigin: http://localhost.:8081",
	want:    verdict{"127.0.0.1", "http://LOCALHOST.:8081", true},
}, {
	what: "a name below localhost", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: chat.localhost:8081\nOrigin: http://chat.localhost:8081",
	want:    verdict{"127.0.0.1", "http://chat.localhost:8081", true},
}, {
	what: "an address", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: 127.0.0.2:8081\nOrigin: http://127.0.0.2:8081",
	want:    verdict{"127.0.0.1", "http://127.0.0.2:8081", true},
}, {
	what: "a short one", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: 127.1:8081",
	want:    verdict{"127.0.0.1", "http://127.1:8081", true},
}, {
	what: "an IPv6 address", from: "[::1]", at: "[::1]:8081",
	headers: "Host: [::1]:8081\nOrigin: http://[::1]:8081",
	want:    verdict{"::1", "http://[::1]:8081", true},
}, {
	what: "no host at all", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: ",
	want:    verdict{"127.0.0.1", "http://", true},
}, {
	what: "nginx on this host that passes the public name on", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: app.example\nOrigin: http://app.example",
	want:    verdict{"127.0.0.1", "http://app.example", true},
}, {
	what: "with its port", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: app.example:9000\nOrigin: http://app.example:9000",
	want:    verdict{"127.0.0.1", "http://app.example:9000", true},
}, {
	what: "with one that is ours, too, where it is trusted", trusted: "127.0.0.0/8", from: "127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: app.example:8081\nOrigin: http://app.example:8081",
	want:    verdict{"127.0.0.1", "http://app.example:8081", true},
}, {
	what: "a public address", from: "192.0.2.1", at: "192.0.2.80:8081",
	headers: "Host: app.example:8081\nOrigin: http://app.example:8081",
	want:    verdict{"192.0.2.1", "http://app.example:8081", true},
}, {
	what: "over TLS, where the certificate tells the name", from: "tls:127.0.0.1", at: "127.0.0.1:8081",
	headers: "Host: app.test:8081\nOrigin: https://app.test:8081",
	want:    verdict{"127.0.0.1", "https://app.test:8081", true},
}, {
	what: "hosts: a name", from: "127.0.0.1", at: "127.0.0.1:8081", options: Options{Hosts: []string{"app.example", "App.Test.", "[0::1]"}},
	headers: "Host: app.example:8081\nOrigin: http://app.example:8081",
	want:    verdict{"127.0.0.1", "http://app.example:8081", true},
}, {
	what: "hosts: in any spelling", from: "127.0.0.1", at: "127.0.0.1:8081", options: Options{Hosts: []string{"app.example", "App.Test.", "[0::1]"}},
	headers: "Host: APP.test:8081\nOrigin: http://app.test:8081",
	want:    verdict{"127.0.0.1", "http://APP.test:8081", true},
}, {
	what: "hosts: an address", from: "127.0.0.1", at: "127.0.0.1:8081", options: Options{Hosts: []string{"app.example", "App.Test.", "[0::1]"}},
	headers: "Host: [::1]:8081\nOrigin: http://[::1]:8081",
	want:    verdict{"127.0.0.1", "http://[::1]:8081", true},
}, {
	what: "hosts: no other name", from: "192.0.2.1", options: Options{Hosts: []string{"app.example", "App.Test.", "[0::1]"}},
	headers: "Host: www.app.example\nOrigin: http://www.app.example",
	want:    verdict{"192.0.2.1", "http://www.app.example", false},
}, {
	what: "hosts: no other address, and no localhost", from: "127.0.0.1", at: "127.0.0.1:8081", options: Options{Hosts: []string{"app.example", "App.Test.", "[0::1]"}},
	headers: "Host: localhost:8081\nOrigin: http://localhost:8081",
	want:    verdict{"127.0.0.1", "http://localhost:8081", false},
}, {
	what: "hosts: whether it names a page or not", from: "192.0.2.1", options: Options{Hosts: []string{"app.example", "App.Test.", "[0::1]"}},
	headers: "Host: www.app.example",
	want:    verdict{"192.0.2.1", "http://www.app.example", false},
}, {
	what: "hosts: over TLS, too", from: "tls:192.0.2.1", options: Options{Hosts: []string{"app.example", "App.Test.", "[0::1]"}},
	headers: "Host: www.app.example\nOrigin: https://www.app.example",
	want:    verdict{"192.0.2.1", "https://www.app.example", false},
}, {
	what: "hosts: as a trusted proxy tells it", trusted: "10.0.0.0/8", from: "10.0.0.1", options: Options{Hosts: []string{"app.example", "App.Test.", "[0::1]"}},
	headers: "Host: inner\nOrigin: https://app.example\nX-Forwarded-Host: app.example\nX-Forwarded-Proto: https",
	want:    verdict{"10.0.0.1", "https://app.example", true},
}, {
	what: "hosts: not as a stranger does", from: "192.0.2.1", options: Options{Hosts: []string{"app.example", "App.Test.", "[0::1]"}},
	headers: "Host: inner\nOrigin: http://app.example\nX-Forwarded-Host: app.example",
	want:    verdict{"192.0.2.1", "http://inner", false},
}, {
	what: "hosts: an allowed page asks any", from: "192.0.2.1", options: Options{Hosts: []string{"app.example", "App.Test.", "[0::1]"}, AllowedOrigins: []string{"https://pages.example"}},
	headers: "Host: inner\nOrigin: https://pages.example",
	want:    verdict{"192.0.2.1", "http://inner", true},
}}

func TestWhoAsksAndWhetherItsPageMay(t *testing.T) {
	for _, c := range guardCases {
		o := c.options
		for _, proxy := range strings.Fields(c.trusted) {
			o.TrustedProxies = append(o.TrustedProxies, prefix(t, proxy))
		}
		g := newGuard(t, o)
		r := requestWith(t, c.headers)
		from, overTLS := strings.CutPrefix(c.from, "tls:")
		r.RemoteAddr = from + ":40000"
		if overTLS {
			r.TLS = new(tls.ConnectionState)
		}
		r = connected(r, cmp.Or(c.at, "192.0.2.80:8081"))
		peer := g.Peer(r, "websocket")
		got := verdict{peer.Address, "http://" + peer.Host, g.Allowed(r, ByScript)}
		if peer.Secure {
			got.own = "https://" + peer.Host
		}
		if got != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v\nfrom %s at %s, trusted %s\n%s", c.what, got, c.want, c.from, c.at, c.trusted, c.headers)
		}
	}
}

func newGuard(t testing.TB, o Options) *Guard {
	t.Helper()
	o.Forwarded = cmp.Or(o.Forwarded, either)
	o.Logger = slog.New(slog.DiscardHandler)
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// requestWith is one with these headers, one a line.
func requestWith(t testing.TB, headers string) *http.Request {
	t.Helper()
	text := "GET /echo/info HTTP/1.1\r\n" + strings.ReplaceAll(headers, "\n", "\r\n") + "\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatalf("%s: %v", headers, err)
	}
	return r
}

// connected is a request by a connection to an address of ours.
func connected(r *http.Request, at string) *http.Request {
	local := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at))
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
}

func prefix(t testing.TB, text string) netip.Prefix {
	t.Helper()
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each request that opens a session passes the guard twice. What it makes are
// the texts of a session's peer.
func TestGuardMakesNoGarbageWithoutProxies(t *testing.T) {
	for _, trusted := range []string{"", "10.0.0.0/8"} {
		var o Options
		if trusted != "" {
			o.TrustedProxies = []netip.Prefix{prefix(t, trusted)}
		}
		g := newGuard(t, o)
		for from, at := range map[string]string{"192.0.2.1:40000": "192.0.2.80:8081", "127.0.0.1:40000": "127.0.0.1:8081"} {
			for _, headers := range []string{"Host: app.example", "Host: app.example\nOrigin: http://app.example"} {
				r := requestWith(t, headers)
				r.RemoteAddr = from
				r = connected(r, at)
				if n := testing.AllocsPerRun(100, func() { g.Allowed(r, ByScript) }); n > 0 {
					t.Errorf("Allowed, trusted %s, from %s, %s: %v objects", trusted, from, headers, n)
				}
				if n := testing.AllocsPerRun(100, func() { g.Peer(r, "websocket") }); n > 2 {
					t.Errorf("Peer, trusted %s, from %s, %s: %v objects", trusted, from, headers, n)
				}
			}
		}
	}
}

// What a client sends before the element of the proxy has no effect on it.
func FuzzForwarded(f *testing.F) {
	for _, client := range []string{"", "for=10.9.9.9", `for="`, `host="a\`, `a="b;c,d"`, ",,;;", `"`, `\"`} {
		f.Add(client)
	}
	f.Fuzz(func(t *testing.T, client string) {
		const proxy = `for="[2001:db8::1]:4711";proto=https;host="a;\"b,c"`
		for _, lines := range [][]string{{client + ", " + proxy}, {client, proxy}} {
			r := rfc7239(lines)
			if r.addresses[0] != "[2001:db8::1]:4711" || r.schemes[0] != "https" || r.hosts[0] != `a;"b,c` {
				t.Errorf("%q: got %+v", lines, r)
			}
		}
	})
}

func TestOriginPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"*", []string{"https://a.example", "null", "test"}, nil},
		{"null", []string{"null"}, []string{"https://a.example"}},
		{"https://a.example/", []string{"https://a.example", "HTTPS://A.example"}, []string{"http://a.example", "https://a.example:8443", "https://a.example.evil.example", "https://xa.example"}},
		{"https://*.a.example", []string{"https://b.a.example", "https://c.b.a.example"}, []string{"https://a.example", "https://ba.example", "https://evil.example/.a.example", "https://b.a.example:8443", "https://evil.example:1.a.example"}},
		{"https://a.example:[8080,8081]", []string{"https://a.example:8080", "https://a.example:8081"}, []string{"https://a.example", "https://a.example:80801", "https://a.example:8082"}},
		{"http://localhost:[*]", []string{"http://localhost", "http://localhost:5173"}, []string{"http://localhost:x", "http://localhost.evil.example"}},
		{"http://[::1]:8080", []string{"http://[::1]:8080"}, []string{"http://[::1]"}},
		{"https://a.example:443", []string{"https://a.example", "https://a.example:443"}, []string{"https://a.example:80"}},
		{"https://*.a.example:[443,8443]", []string{"https://b.a.example", "https://b.a.example:443", "https://b.a.example:8443"}, []string{"https://b.a.example:80"}},
		{"capacitor://localhost:80", []string{"capacitor://localhost:80"}, []string{"capacitor://localhost"}},
		{"https://a.example", []string{"https://a.example/", "wss://a.example", "WSS://a.example:443/"}, []string{"https://a.example//", "https://a.example/page", "ws://a.example"}},
		{"wss://a.example/", []string{"wss://a.example", "https://a.example"}, []string{"ws://a.example", "http://a.example"}},
		{"ws://*.a.example:[*]", []string{"ws://b.a.example:8080", "http://b.a.example/"}, []string{"wss://b.a.example"}},
		{"file://", []string{"file://", "FILE:///"}, []string{"file:", "file://host", "file:///home/page", "null", ""}},
		{"file:///", []string{"file://"}, []string{"file:"}},
	} {
		o, err := newOrigins([]string{c.pattern})
		if err != nil {
			t.Fatal(err)
		}
		for _, origin := range c.yes {
			if !o.match(origin) {
				t.Errorf("%s does not match %s", c.pattern, origin)
			}
		}
		for _, origin := range c.no {
			if o.match(origin) {
				t.Errorf("%s matches %s", c.pattern, origin)
			}
		}
	}
	for _, wrong := range []string{"", "example.com", "https://", "https://a.example/path", "https://a.example//", "https:///", "file:", "file:///home/page", "https://a.example:[80"} {
		if _, err := newOrigins([]string{wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

// Whatever a client sends, a session keeps little of it.
func TestPeerIsBounded(t *testing.T) {
	long := strings.Repeat("a", 15000)
	g := newGuard(t, Options{})
	p := g.Peer(requestWith(t, "Host: "+long+"\nOrigin: http://"+long+"\nUser-Agent: "+long), "websocket")
	if p.Host != long[:256] || p.Origin != ("http://" + long)[:256] || p.UserAgent != long[:256] {
		t.Errorf("kept %d, %d and %d bytes", len(p.Host), len(p.Origin), len(p.UserAgent))
	}
}
