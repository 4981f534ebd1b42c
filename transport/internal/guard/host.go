package guard

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// cutPort cuts the port off a host, where there is one. An IPv6 address is in
// brackets where it has one (RFC 3986, section 3.2.2).
func cutPort(host string) (name, port string) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.IndexByte(host[i:], ']') >= 0 || host[0] != '[' && strings.IndexByte(host, ':') < i {
		return host, ""
	}
	return host[:i], host[i+1:]
}

// hostname is a host in one form: without its port, brackets and the dot that a
// name may end with, in lower case.
func hostname(host string) string {
	name, _ := cutPort(host)
	return strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
}

// newHosts are Options.Hosts, as hostname writes what is asked for.
func newHosts(own []string) (map[string]bool, error) {
	hosts := make(map[string]bool)
	for _, host := range own {
		name := strings.ToLower(strings.TrimSuffix(host, "."))
		if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			name = a.String()
		} else if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			return nil, fmt.Errorf("transport: Hosts: %q: must be a name or an address without scheme and port, such as chat.example.com", host)
		}
		hosts[name] = true
	}
	return hosts, nil
}

// portOf is the port of a host that is asked for over plain HTTP.
func portOf(host string) int {
	_, port := cutPort(host)
	if port == "" {
		return 80
	}
	n, _ := strconv.Atoi(port)
	return n
}

// isLocal tells whether a hostname is one that no one can have stand for an address
// of their choice: localhost (RFC 6761, section 6.3), an address, or none at all.
func isLocal(name string) bool {
	return name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") || isAddress(name)
}

// isAddress tells an IP address from a name. To browsers a host whose last label is a
// number is no name, whatever else it is (URL Standard, section 3.5).
func isAddress(name string) bool {
	if strings.IndexByte(name, ':') >= 0 {
		_, err := netip.ParseAddr(name)
		return err == nil
	}
	label := name[strings.LastIndexByte(name, '.')+1:]
	return label != "" && strings.Trim(label, "0123456789") == ""
}
