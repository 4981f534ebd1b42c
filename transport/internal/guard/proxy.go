package guard

import (
	"cmp"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// A Caller is who asks, and for what, as seen from outside the proxies.
type Caller struct {
	Host    string     // that is asked for, with the port, where there is one
	Secure  bool       // over TLS
	address netip.Addr // not valid where there is none: on a Unix socket
	also    string     // a second host that is the caller's as well, or empty
	proxied bool       // the connection's peer is a trusted proxy
}

// IP is the address as text, or empty.
func (c Caller) IP() string {
	if !c.address.IsValid() {
		return ""
	}
	return c.address.String()
}

// origin is that of the host's pages.
func (c Caller) origin() string { return originOf(c.Secure, c.Host) }

func originOf(secure bool, host string) string {
	if secure {
		return "https://" + host
	}
	return "http://" + host
}

// isOrigin tells whether a page of this origin comes from the host that is
// asked: the same scheme, host and port (RFC 6454, section 5).
func (c Caller) isOrigin(origin string) bool {
	origin = canonical(origin)
	return origin == canonical(c.origin()) ||
		c.also != "" && origin == strings.ToLower(originOf(c.Secure, c.also))
}

// proxies are those that are believed, and in which header.
type proxies struct {
	trusted []netip.Prefix
	header  string // Options.Forwarded
}

// newProxies are those of options. A caller's IPv4 address is one, however it is
// written; so are the proxies'.
func newProxies(o Options) proxies {
	p := proxies{header: o.Forwarded}
	for _, t := range o.TrustedProxies {
		if t.Addr().Is4In6() && t.Bits() >= 96 {
			t = netip.PrefixFrom(t.Addr().Unmap(), t.Bits()-96)
		}
		p.trusted = append(p.trusted, t)
	}
	return p
}

func (p proxies) trust(ip netip.Addr) bool {
	for _, prefix := range p.trusted {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// Caller returns who makes a request. The connection's peer is, unless it is a
// trusted proxy: then it is who the proxy reports, and so on, up to the first
// that is not trusted, or that is not known. What the farthest trusted proxy says
// of host, port and scheme counts, and of what it does not say, the word of the next.
func (g *Guard) Caller(r *http.Request) Caller {
	p := g.proxies
	c := Caller{address: ip(r.RemoteAddr), Host: r.Host, Secure: r.TLS != nil}
	if !p.trust(c.address) {
		return c
	}
	c.proxied = true
	said, port := reported(r.Header, p.header), ""
	for i := 0; ; i++ {
		c.Host = cmp.Or(word(said.hosts, i), c.Host)
		port = cmp.Or(word(said.ports, i), port)
		c.Secure = secured(word(said.schemes, i), c.Secure)
		address := ip(word(said.addresses, i))
		if address.IsValid() {
			c.address = address
		}
		if !p.trust(address) {
			break
		}
	}
	c.setPort(port)
	return c
}

// setPort gives the host the port that a proxy has told, where it has none, and
// takes the scheme's default off, as browsers do. A proxy may tell the port that it
// listens at itself (nginx's $server_port), which clients need not know: the host
// without it is the caller's as well. Port 80 over TLS is always such a one.
func (c *Caller) setPort(port string) {
	name, given := cutPort(c.Host)
	port = cmp.Or(given, port)
	if _, err := strconv.ParseUint(port, 10, 16); err != nil && port != "" {
		return
	}
	if strings.IndexByte(name, ':') >= 0 && name[0] != '[' {
		name = "[" + name + "]"
	}
	with := name + ":" + port
	switch {
	case port == "", c.Secure && port == "443", !c.Secure && port == "80":
		c.Host = name
	case c.Secure && port == "80":
		c.Host, c.also = name, with
	case given == "":
		c.Host, c.also = with, name
	default:
		c.Host = with
	}
}

// secured tells whether a scheme is one over TLS; one that is not known says
// nothing, and before stands. Traefik calls that of a WebSocket's handshake wss
// or ws (traefik/traefik#9736); X-Forwarded-Ssl has on and off.
func secured(scheme string, before bool) bool {
	switch strings.ToLower(scheme) {
	case "https", "wss", "on":
		return true
	case "http", "ws", "off":
		return false
	}
	return before
}

// ip returns the address of a host, with a port or not. One that is no address,
// such as RFC 7239's unknown and _hidden, has none that is valid.
func ip(host string) netip.Addr {
	name, _ := cutPort(host)
	a, _ := netip.ParseAddr(strings.Trim(name, "[]"))
	return a.Unmap().WithZone("")
}
