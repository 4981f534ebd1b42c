package frame

import (
	"slices"
	"strings"
)

// A Version is a version of STOMP. It decides how headers are escaped, and
// whether blanks around them count. The zero value is 1.0.
type Version uint8

const (
	V10 Version = iota
	V11
	V12
)

// Versions are all versions, as an ERROR tells a client that speaks none of them.
const Versions = "1.0,1.1,1.2"

var versionNames = [...]string{V10: "1.0", V11: "1.1", V12: "1.2"}

func (v Version) String() string { return versionNames[v] }

// Negotiate returns the highest version that the header accept-version of a
// CONNECT lists; false when it lists none of ours. A client without the header
// speaks 1.0, which had none. Blanks around the header's name are no part of it: not
// before the version is known.
func Negotiate(h Headers) (Version, bool) {
	i := slices.IndexFunc(h, func(e Header) bool { return strings.Trim(e.Name, blanks) == "accept-version" })
	if i < 0 {
		return V10, true
	}
	best, found := V10, false
	for token := range strings.SplitSeq(h[i].Value, ",") {
		for v := V10; v <= V12; v++ {
			if strings.TrimSpace(token) == v.String() {
				best, found = max(best, v), true
			}
		}
	}
	return best, found
}
