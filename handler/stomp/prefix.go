package stomp

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"switchback/handler/stomp/antpath"
)

// A prefixKind says what serves the destinations that begin with a prefix.
type prefixKind uint8

const (
	noPrefix prefixKind = iota
	topicPrefix
	queuePrefix
	appPrefix
)

// A prefix is how destinations of one kind begin.
type prefix struct {
	text string // of the application: with a slash at its end
	kind prefixKind
}

// prefixes decide what a destination is. They are sorted, the longest first.
type prefixes struct {
	list      []prefix
	separator string
}

func newPrefixes(o *Options) prefixes {
	p := prefixes{separator: o.Separator}
	for _, text := range o.Topics {
		p.list = append(p.list, prefix{text, topicPrefix})
	}
	for _, text := range o.Queues {
		p.list = append(p.list, prefix{text, queuePrefix})
	}
	for _, text := range o.Apps {
		p.list = append(p.list, prefix{strings.TrimSuffix(text, "/") + "/", appPrefix})
	}
	slices.SortStableFunc(p.list, func(a, b prefix) int { return cmp.Compare(len(b.text), len(a.text)) })
	return p
}

// find returns the prefix that decides about a destination, for SEND and SUBSCRIBE
// alike: the longest that ends where one of its segments does. Where none does
// it is the longest of topics and queues that the destination begins with, letter
// by letter, as Spring's simple broker compares: /topics/x is a topic of /topic.
func (p *prefixes) find(destination string) prefix {
	var begins prefix
	for _, e := range p.list {
		rest, ok := strings.CutPrefix(destination, e.text)
		switch {
		case !ok:
		case endsSegment(e.text, rest, p.separator):
			return e
		case begins.kind == noPrefix:
			begins = e
		}
	}
	return begins
}

// maybe tells whether a destination that begins so, and goes on, may be one of
// topics or queues.
func (p *prefixes) maybe(front string) bool {
	return slices.ContainsFunc(p.list, func(e prefix) bool { return e.kind != appPrefix && strings.HasPrefix(e.text, front) })
}

// endsSegment tells whether a segment ends between a prefix and what follows it.
func endsSegment(prefix, rest, separator string) bool {
	return rest == "" || rest[0] == '/' || strings.HasPrefix(rest, separator) ||
		strings.HasSuffix(prefix, "/") || strings.HasSuffix(prefix, separator)
}

// defaultPrefixes fills in the prefixes that are not given. One that is given is
// not a default of another kind, too; and no default of the application lies
// within it.
func (o *Options) defaultPrefixes() {
	topics, queues, apps := o.Topics, o.Queues, o.Apps
	if topics == nil {
		others := slices.Concat(queues, apps)
		o.Topics = slices.DeleteFunc([]string{"/topic", "/queue"}, func(p string) bool {
			return slices.ContainsFunc(others, func(q string) bool { return samePrefix(p, q) })
		})
	}
	if apps == nil {
		others := append(slices.Concat(topics, queues), o.UserPrefix)
		o.Apps = slices.DeleteFunc([]string{"/app"}, func(p string) bool {
			return slices.ContainsFunc(others, func(q string) bool { return within(p, q, o.Separator) })
		})
	}
}

// samePrefix compares prefixes: a slash at the end makes no difference.
func samePrefix(p, q string) bool { return strings.TrimSuffix(p, "/") == strings.TrimSuffix(q, "/") }

// within tells whether all destinations of the prefix p are of q, too.
func within(p, q, separator string) bool {
	p, q = strings.TrimSuffix(p, "/"), strings.TrimSuffix(q, "/")
	rest, ok := strings.CutPrefix(p, q)
	return ok && endsSegment(q, rest, separator)
}

// checkPrefixes returns what is wrong with prefixes: those that make it unclear
// what a destination is. Spring gives a frame to each handler whose prefix it
// has; here it has one place, and a prefix that takes frames away from another
// has to be meant so. "/" is all that no other prefix takes.
func (o *Options) checkPrefixes() error {
	if len(o.UserPrefix) < 2 || o.UserPrefix[0] != '/' || antpath.IsPattern(o.UserPrefix) {
		return &OptionError{"UserPrefix", -1, o.UserPrefix, "begin with /, be more than that, and no pattern: /user, say"}
	}
	for _, list := range []struct {
		option   string
		prefixes []string
		check    func(p string) (want string)
	}{
		{"Topics", o.Topics, func(string) string { return "" }},
		{"Queues", o.Queues, o.checkQueue},
		{"Apps", o.Apps, o.checkApp},
	} {
		for i, p := range list.prefixes {
			want := list.check(p)
			switch {
			case p == "" || p[0] != '/':
				want = "begin with /, such as /topic"
			case antpath.IsPattern(p):
				want = "be how destinations begin, such as /topic, and no pattern"
			case slices.ContainsFunc(list.prefixes[:i], func(q string) bool { return samePrefix(p, q) }):
				want = "not be given twice"
			}
			if want != "" {
				return &OptionError{list.option, i, p, want}
			}
		}
	}
	return nil
}

// checkQueue returns what a prefix of queues must do that it does not.
func (o *Options) checkQueue(p string) string {
	if within(p, o.UserPrefix, o.Separator) {
		return fmt.Sprintf("not be within %q, the prefix of users: choose another", o.UserPrefix)
	}
	if slices.ContainsFunc(o.Topics, func(q string) bool { return samePrefix(p, q) }) {
		return "not be a prefix of topics, too: leave it out of one of the two"
	}
	return ""
}

// checkApp returns what a prefix of the application must do that it does not.
func (o *Options) checkApp(p string) string {
	for _, other := range []struct {
		what     string
		prefixes []string
	}{{"users", []string{o.UserPrefix}}, {"topics", o.Topics}, {"queues", o.Queues}} {
		for _, q := range other.prefixes {
			switch {
			case samePrefix(p, q):
				return fmt.Sprintf("not be a prefix of %s, too: leave it out of one of the two", other.what)
			case within(p, q, o.Separator) && q != "/":
				return fmt.Sprintf("not be within %q, a prefix of %s: a frame goes to functions or to subscribers, not to both; choose another", q, other.what)
			}
		}
	}
	return ""
}
