package rules

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"switchback/handler/stomp/antpath"
	"switchback/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// callers of the tests.
var (
	nobody  *session.Identity
	kim     = &session.Identity{User: "kim"}
	lee     = &session.Identity{User: "lee", Claims: map[string]any{"roles": []any{"ops", 7}}}
	ann     = &session.Identity{User: "ann", Claims: map[string]any{"roles": []any{"staff", "admin"}}}
	unnamed = &session.Identity{Claims: map[string]any{"roles": "admin"}}
)

func mustNew(t testing.TB, rules ...Rule) *List {
	t.Helper()
	l, err := New(rules, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var (
	authenticated = Who{Group: Authenticated}
	anonymous     = Who{Group: Anonymous}
	admins        = Who{Roles: []string{"admin"}}
)

// The list of an application with alarms.
var alarm = []Rule{
	{On: []Action{Subscribe}, To: []string{"/alarm/{user}"}, Allow: true, Who: authenticated},
	{On: []Action{Send}, To: []string{"/api/**"}, Allow: true, Who: admins},
	{},
}

// The list of a chat, in whose room news admins write.
var rooms = []Rule{
	{On: []Action{Create}, To: []string{"/chat/**"}, Allow: true, Who: admins},
	{On: []Action{Join, Read}, To: []string{"/chat/*"}, Allow: true, Who: authenticated},
	{On: []Action{Send}, To: []string{"/chat/news"}, Allow: true, Who: admins},
	{On: []Action{Send}, To: []string{"/chat/*"}, Allow: true},
}

func TestFirstRuleThatDecidesWins(t *testing.T) {
	allow := func(who Who, to ...string) Rule { return Rule{To: to, Allow: true, Who: who} }
	deny := func(who Who, to ...string) Rule { return Rule{To: to, Who: who} }
	for _, c := range []struct {
		name  string
		rules []Rule
		who   *session.Identity
		what  string
		want  string // "+ 0" is allowed by the first rule, "- 1" refused by the second, "- -1" since no rule decides
	}{
		{"alarm", alarm, kim, "subscribe /alarm/kim", "+ 0"},
		{"alarm", alarm, kim, "subscribe /alarm/lee", "- 2"},
		{"alarm", alarm, kim, "subscribe /alarm/*", "- 2"},
		{"alarm", alarm, kim, "subscribe /alarm/ki?", "- 2"},
		{"alarm", alarm, kim, "subscribe /alarm/{x}", "- 2"},
		{"alarm", alarm, kim, "subscribe /**", "- 2"},
		{"alarm", alarm, kim, "send /alarm/kim", "- 2"},
		{"alarm", alarm, kim, "send /api/echo", "- 1"},
		{"alarm", alarm, ann, "send /api/echo", "+ 1"},
		{"alarm", alarm, ann, "subscribe /api/echo", "- 2"},
		{"alarm", alarm, nobody, "subscribe /alarm/kim", "- 2"},
		{"alarm", alarm, nobody, "subscribe /alarm/", "- 2"},
		{"alarm", alarm, unnamed, "subscribe /alarm/", "- 2"},
		{"alarm", alarm, nobody, "connect ", "+ -1"},

		{"in order", []Rule{deny(Who{}, "/a/b"), allow(Who{}, "/a/*"), deny(Who{}, "/a/c")}, nobody, "send /a/b", "- 0"},
		{"in order", []Rule{deny(Who{}, "/a/b"), allow(Who{}, "/a/*"), deny(Who{}, "/a/c")}, nobody, "send /a/c", "+ 1"},
		{"in order", []Rule{deny(Who{}, "/a/b"), allow(Who{}, "/a/*"), deny(Who{}, "/a/c")}, nobody, "send /b", "- -1"},

		{"an allow refuses others", []Rule{allow(admins, "/a"), allow(Who{}, "/a")}, kim, "send /a", "- 0"},
		{"a deny leaves others", []Rule{deny(anonymous, "/a"), allow(admins, "/a")}, ann, "send /a", "+ 1"},
		{"a deny leaves others", []Rule{deny(anonymous, "/a"), allow(admins, "/a")}, kim, "send /a", "- 1"},
		{"a deny leaves others", []Rule{deny(anonymous, "/a"), allow(admins, "/a")}, nobody, "send /a", "- 0"},
		{"a deny alone allows nobody", []Rule{deny(anonymous)}, kim, "subscribe /a", "- -1"},
		{"one of many patterns", []Rule{allow(Who{}, "/a", "/b/*")}, nobody, "send /b/c", "+ 0"},
		{"one of many patterns", []Rule{allow(Who{}, "/a", "/b/*")}, nobody, "send /c", "- -1"},

		{"connect", []Rule{{On: []Action{Connect}, Allow: true, Who: authenticated}}, nobody, "connect ", "- 0"},
		{"connect", []Rule{{On: []Action{Connect}, Allow: true, Who: authenticated}}, kim, "connect ", "+ 0"},
		{"connect is named", []Rule{{}}, nobody, "connect ", "+ -1"},
		{"connect and more", []Rule{{On: []Action{Connect, Send}}}, kim, "connect ", "- 0"},
		{"one action", []Rule{{On: []Action{Subscribe}, Allow: true}}, kim, "send /a", "- -1"},

		{"rooms", rooms, kim, "create /chat/a", "- 0"},
		{"rooms", rooms, ann, "create /chat/a", "+ 0"},
		{"rooms", rooms, kim, "join /chat/a", "+ 1"},
		{"rooms", rooms, kim, "read /chat/a", "+ 1"},
		{"rooms", rooms, nobody, "read /chat/a", "- 1"},
		{"rooms", rooms, kim, "send /chat/a", "+ 3"},
		{"rooms", rooms, kim, "send /chat/news", "- 2"},
		{"rooms", rooms, kim, "subscribe /chat/a", "- -1"},
		{"rooms", rooms, kim, "join /chat/*", "+ 1"},
		{"no action", []Rule{{}}, kim, "create /a", "- 0"},
		{"no action", []Rule{{}}, kim, "join /a", "- 0"},
		{"no action", []Rule{{Allow: true}}, kim, "read /a", "+ 0"},
		{"no rule about rooms", []Rule{{On: []Action{Send}, Allow: true}}, kim, "join /a", "- -1"},

		{"open as Spring", []Rule{{Allow: true}}, nobody, "send /topic/a", "+ 0"},
		{"open as Spring", []Rule{{Allow: true}}, nobody, "subscribe /**", "+ 0"},
		{"open as Spring", []Rule{{Allow: true}}, nobody, "subscribe /{a:x}", "+ 0"},
		{"broker destinations", []Rule{allow(Who{}, "/app/**")}, kim, "send /topic/a", "- -1"},

		{"no name", []Rule{allow(authenticated)}, unnamed, "send /a", "- 0"},
		{"no name", []Rule{allow(anonymous)}, unnamed, "send /a", "+ 0"},
		{"no name", []Rule{allow(admins)}, unnamed, "send /a", "+ 0"},
		{"users", []Rule{allow(Who{Users: []string{"lee", "kim"}})}, kim, "send /a", "+ 0"},
		{"users", []Rule{allow(Who{Users: []string{"lee", "kim"}})}, ann, "send /a", "- 0"},
		{"users or roles", []Rule{allow(Who{Users: []string{"kim"}, Roles: []string{"x", "ops"}})}, lee, "send /a", "+ 0"},
		{"users or roles", []Rule{allow(Who{Users: []string{"kim"}, Roles: []string{"x", "ops"}})}, kim, "send /a", "+ 0"},
		{"users or roles", []Rule{allow(Who{Users: []string{"kim"}, Roles: []string{"x", "ops"}})}, nobody, "send /a", "- 0"},

		{"own and foreign", []Rule{{On: []Action{Send}, To: []string{"/user/{user}/**"}, Allow: true}}, kim, "send /user/kim/queue/x", "+ 0"},
		{"own and foreign", []Rule{{On: []Action{Send}, To: []string{"/user/{user}/**"}, Allow: true}}, kim, "send /user/lee/queue/x", "- -1"},
		{"own and foreign", []Rule{{On: []Action{Send}, To: []string{"/user/{user}/**"}, Allow: true}}, nobody, "send /user//queue/x", "- -1"},
		{"own", []Rule{allow(Who{}, "/user/queue/*")}, kim, "subscribe /user/queue/x", "+ 0"},
		{"own", []Rule{allow(Who{}, "/user/queue/*")}, kim, "subscribe /user/queue/*", "+ 0"},
		{"own", []Rule{allow(Who{}, "/user/queue/*")}, kim, "subscribe /user/**", "- -1"},

		{"no pattern is sent to", []Rule{deny(Who{}, "/a/b"), allow(Who{}, "/a/*")}, kim, "send /a/*", "+ 1"},
		{"a deny within a pattern", []Rule{deny(Who{}, "/a/b"), allow(Who{}, "/a/*")}, kim, "subscribe /a/*", "- 0"},
		{"a deny within a pattern", []Rule{deny(Who{}, "/a/b"), allow(Who{}, "/a/*")}, kim, "subscribe /a/c*", "+ 1"},
		{"a deny within a pattern", []Rule{deny(Who{}, "/a/b"), allow(Who{}, "/a/*")}, kim, "subscribe /*/b", "- 0"},
		{"an allow within a pattern", []Rule{allow(Who{}, "/a/b"), deny(Who{}, "/a/*")}, kim, "subscribe /a/*", "- 1"},
		{"an allow within a pattern", []Rule{allow(Who{}, "/a/b"), allow(Who{}, "/a/*")}, kim, "subscribe /a/*", "+ 1"},
		{"an allow of others within", []Rule{allow(admins, "/a/b"), allow(Who{}, "/a/*")}, kim, "subscribe /a/*", "- 0"},
		{"an allow of others within", []Rule{allow(admins, "/a/b"), allow(Who{}, "/a/*")}, ann, "subscribe /a/*", "+ 1"},
		{"another's name within", []Rule{deny(Who{}, "/a/{user}"), allow(Who{}, "/a/*")}, kim, "subscribe /a/l*", "+ 1"},
		{"another's name within", []Rule{deny(Who{}, "/a/{user}"), allow(Who{}, "/a/*")}, kim, "subscribe /a/k*", "- 0"},
		{"not to be read", []Rule{deny(Who{}, "/b"), allow(Who{}, "/a/*")}, kim, "subscribe /a/{x:y}", "- 0"},
		{"not to be read", []Rule{allow(Who{}, "/a/*")}, kim, "subscribe /a/{x:y}", "- -1"},
	} {
		l := mustNew(t, c.rules...)
		action, destination, _ := strings.Cut(c.what, " ")
		on := Action(slices.Index(Actions(), action))
		v := l.Check(c.who, on, destination)
		got := fmt.Sprint(map[bool]string{true: "+ ", false: "- "}[v.Allowed], v.Rule)
		if got != c.want {
			t.Errorf("%s: %v: %s: got %s, want %s", c.name, nameOf(c.who), c.what, got, c.want)
		}
		if err := v.Err(on, destination); (err == nil) != v.Allowed || err != nil && !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %s: %v", c.name, c.what, err)
		}
	}
}

// The name of a caller stands for itself, in whatever pattern.
func TestNamesAreNoPatterns(t *testing.T) {
	l := mustNew(t, Rule{To: []string{"/alarm/{user}", "/x-{user}/**"}, Allow: true})
	for _, c := range []struct {
		user, destination string
		want              bool
	}{
		{"*", "/alarm/*", true}, {"*", "/alarm/kim", false}, {"**", "/alarm/a/b", false}, {"k?m", "/alarm/kim", false}, {"{x}", "/alarm/kim", false},
		{"{user}", "/alarm/kim", false}, {"a/b", "/alarm/a/b", false}, {"..", "/alarm/kim", false}, {"", "/alarm/", false}, {"", "/alarm", false},
		{"kim", "/x-kim/1/2", true}, {"*", "/x-kim/1", false}, {"kim", "/alarm/Kim", false}, {"é", "/alarm/é", true},
	} {
		if got := l.Check(&session.Identity{User: c.user}, Send, c.destination).Allowed; got != c.want {
			t.Errorf("%q to %s: %v", c.user, c.destination, got)
		}
	}
	// Subscribed to, what looks like a pattern is one.
	if l.Check(&session.Identity{User: "*"}, Subscribe, "/alarm/*").Allowed {
		t.Error("a user called * hears of everybody")
	}
}

func TestRolesAreAClaim(t *testing.T) {
	for _, c := range []struct {
		claim  string
		claims map[string]any
		want   bool
	}{
		{"", map[string]any{"roles": []any{"x", "admin"}}, true},
		{"", map[string]any{"roles": []string{"admin"}}, true},
		{"", map[string]any{"roles": "x admin"}, true},
		{"", map[string]any{"roles": "administrator"}, false},
		{"", map[string]any{"roles": []any{"x admin", 7, nil}}, false},
		{"", map[string]any{"roles": map[string]any{"admin": true}}, false},
		{"", map[string]any{"role": "admin"}, false},
		{"", nil, false},
		{"scope", map[string]any{"scope": "read admin"}, true},
		{"realm_access.roles", map[string]any{"realm_access": map[string]any{"roles": []any{"admin"}}}, true},
		{"realm_access.roles", map[string]any{"roles": []any{"admin"}, "realm_access": "admin"}, false},
		{"https://example.com/roles", map[string]any{"https://example.com/roles": []any{"admin"}}, true},
		{"a.b.c", map[string]any{"a": map[string]any{"b.c": "admin"}}, true},
	} {
		l, err := New([]Rule{{Allow: true, Who: admins}}, Options{RolesClaim: c.claim})
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Check(&session.Identity{User: "kim", Claims: c.claims}, Send, "/a").Allowed; got != c.want {
			t.Errorf("%q of %v: %v", c.claim, c.claims, got)
		}
	}
}

func TestSeparatorIsTheBrokers(t *testing.T) {
	l, err := New([]Rule{{To: []string{"/topic/price.*.{user}"}, Allow: true}}, Options{Separator: "."})
	if err != nil {
		t.Fatal(err)
	}
	for destination, want := range map[string]bool{
		"/topic/price.a.kim": true, "/topic/price.a.lee": false, "/topic/price.a.b.kim": false, "/topic/price.*.kim": true, "/topic/price.**": false,
	} {
		if got := l.Check(kim, Subscribe, destination).Allowed; got != want {
			t.Errorf("%s: %v", destination, got)
		}
	}
	if l.Check(&session.Identity{User: "a.kim"}, Send, "/topic/price.x.a.kim").Allowed {
		t.Error("a name is two segments")
	}
}

func TestRulesThatAreNone(t *testing.T) {
	for _, c := range []struct {
		rules []Rule
		want  string
	}{
		{nil, "rules: there is no rule; leave the list out to allow everything"},
		{[]Rule{{}, {To: []string{"/a", "b"}}}, `rules: rules[1].To[1] is "b"; it must be a destination or an Ant pattern that begins with /, such as /alarm/{user}`},
		{[]Rule{{To: []string{"**"}}}, `rules: rules[0].To[0] is "**"; it must be a destination or an Ant pattern that begins with /, such as /alarm/{user}`},
		{[]Rule{{To: []string{"/{a"}}}, `rules: rules[0].To[0] is "/{a"; it must be an Ant pattern: pattern "/{a": "{a": a brace is not closed`},
		{[]Rule{{To: []string{"/{user:k.*}"}}}, `rules: rules[0].To[0] is "/{user:k.*}"; it must be without an expression in {user}, which is the caller's name`},
		{[]Rule{{On: []Action{Connect, Send}, To: []string{"/a"}}}, `rules: rules[0].To[0] is "/a"; it must be left out for connect, which has no destination`},
		{[]Rule{{Who: Who{Roles: []string{"a", ""}}}}, `rules: rules[0].Who.Roles[1] is ""; it must be a name`},
	} {
		if _, err := New(c.rules, Options{}); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestNoListAllowsEverything(t *testing.T) {
	var l *List
	if v := l.Check(nobody, Send, "/topic/a"); !v.Allowed || v.Rule != -1 {
		t.Errorf("got %+v", v)
	}
}

// A subscription by pattern is allowed only where each destination that it could receive
// is.
func TestPatternsGetNothingThatIsRefused(t *testing.T) {
	parts := []string{"a", "b", "ab", "*", "?", "a*", "**", "{user}", "{x}", "x{user}", "{x:a+}"}
	segments := []string{"a", "b", "aa", "ab", "kim", "xkim"}
	var paths []string
	for _, one := range segments {
		paths = append(paths, "/"+one, "/"+one+"/")
		for _, two := range segments {
			paths = append(paths, "/"+one+"/"+two)
			for _, three := range segments {
				paths = append(paths, "/"+one+"/"+two+"/"+three)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		var b strings.Builder
		for range 1 + random.IntN(3) {
			b.WriteString("/" + parts[random.IntN(len(parts))])
		}
		return b.String()
	}
	allowed := 0
	for range 5000 {
		var list []Rule
		for range 1 + random.IntN(4) {
			r := Rule{Allow: random.IntN(3) > 0, Who: []Who{{}, {}, {}, authenticated, anonymous, admins}[random.IntN(6)]}
			for range random.IntN(3) {
				r.To = append(r.To, text())
			}
			list = append(list, r)
		}
		l := mustNew(t, list...)
		pattern := text()
		p, err := antpath.ParseUntrusted(pattern, "/")
		for _, who := range []*session.Identity{nobody, kim, ann} {
			if !l.Check(who, Subscribe, pattern).Allowed || err != nil {
				continue
			}
			allowed++
			for _, path := range paths {
				if _, ok := p.Match(path); ok && !l.Check(who, Subscribe, path).Allowed {
					t.Fatalf("%+v: %q may subscribe to %s, and not to %s", list, nameOf(who), pattern, path)
				}
			}
		}
	}
	if allowed < 1000 {
		t.Errorf("only %d are allowed", allowed)
	}
}
