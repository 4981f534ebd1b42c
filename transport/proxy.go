package transport

import (
	"net/http"
	"net/netip"
	"strings"
)

// A caller is who asks, and for what, as seen from outside the proxies.
type caller struct {
	address netip.Addr // not valid where there is none: on a Unix socket
	host    string     // with the port, where there is one
	secure  bool
}

// ip is the caller's address as text, or empty.
func (c caller) ip() string {
	if !c.address.IsValid() {
		return ""
	}
	return c.address.String()
}

func (c caller) origin() string {
	if c.secure {
		return "https://" + c.host
	}
	return "http://" + c.host
}

// isOrigin tells whether a page of this origin comes from the host that is
// asked: the same scheme, host and port (RFC 6454, section 5).
func (c caller) isOrigin(origin string) bool {
	return withoutPort(strings.ToLower(origin)) == withoutPort(strings.ToLower(c.origin()))
}

// proxies are those that are believed.
type proxies []netip.Prefix

func (p proxies) trust(ip netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// caller returns who makes a request. The connection's peer is, unless it is a
// trusted proxy: then it is who the proxy reports, and so on, up to the first
// that is not trusted. X-Forwarded-* is preferred to Forwarded (RFC 7239): most
// proxies set the first and pass the second on as the client sent it.
func (p proxies) caller(r *http.Request) caller {
	c := caller{address: ip(r.RemoteAddr), host: r.Host, secure: r.TLS != nil}
	if !p.trust(c.address) {
		return c
	}
	hops := forwarded(r.Header)
	for i := len(hops) - 1; i >= 0; i-- {
		hop := hops[i]
		if hop.host != "" {
			c.host = hop.host
		}
		c.secure = secured(hop.proto, c.secure)
		if !hop.address.IsValid() {
			break
		}
		c.address = hop.address
		if !p.trust(hop.address) {
			break
		}
	}
	return c
}

// secured tells whether a scheme is one over TLS; one that is not known says
// nothing, and before stands. Traefik calls that of a WebSocket's handshake wss
// or ws (traefik/traefik#9736).
func secured(scheme string, before bool) bool {
	switch strings.ToLower(scheme) {
	case "https", "wss":
		return true
	case "http", "ws":
		return false
	}
	return before
}

// ip returns the address of host:port, or of an address alone. What is neither
// has none that is valid.
func ip(hostport string) netip.Addr {
	a, err := netip.ParseAddrPort(hostport)
	if err == nil {
		return a.Addr().Unmap().WithZone("")
	}
	alone, _ := netip.ParseAddr(strings.Trim(hostport, "[]"))
	return alone.Unmap().WithZone("")
}

// A hop is what one proxy reports: for whom it asks, and what that asked for.
type hop struct {
	address     netip.Addr
	host, proto string
}

// forwarded returns the hops, the nearest last.
func forwarded(h http.Header) []hop {
	if lines := h["Forwarded"]; len(lines) > 0 && h["X-Forwarded-For"] == nil {
		return rfc7239(strings.Join(lines, ","))
	}
	hops := make([]hop, 0, 4)
	for _, address := range list(h["X-Forwarded-For"]) {
		hops = append(hops, hop{address: ip(address)})
	}
	if len(hops) == 0 {
		hops = append(hops, hop{})
	}
	// Host and scheme are not lists by hop: the nearest proxy's word counts.
	nearest := &hops[len(hops)-1]
	nearest.host, nearest.proto = last(h["X-Forwarded-Host"]), last(h["X-Forwarded-Proto"])
	if port := last(h["X-Forwarded-Port"]); port != "" && nearest.host != "" && !strings.Contains(nearest.host, ":") {
		nearest.host += ":" + port
	}
	return hops
}

// rfc7239 reads for, host and proto of each element of a Forwarded header.
func rfc7239(header string) []hop {
	var hops []hop
	for element := range strings.SplitSeq(header, ",") {
		var h hop
		for pair := range strings.SplitSeq(element, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			value = strings.Trim(value, `"`)
			switch strings.ToLower(name) {
			case "for":
				h.address = ip(value)
			case "host":
				h.host = value
			case "proto":
				h.proto = value
			}
		}
		hops = append(hops, h)
	}
	return hops
}

// list splits the values of a header that is a list.
func list(lines []string) []string {
	var values []string
	for _, line := range lines {
		for value := range strings.SplitSeq(line, ",") {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

func last(lines []string) string {
	values := list(lines)
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
