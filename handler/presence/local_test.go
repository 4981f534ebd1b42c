package presence

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"switchback/session/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A log keeps changes.
type log struct {
	mu   sync.Mutex
	told []string
}

func (l *log) changed(c Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, fmt.Sprint(map[bool]string{true: "+", false: "-"}[c.Online], c.User, "@", c.Topic))
}

func (l *log) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.Join(l.told, " ")
	l.told = nil
	return text
}

func mustNew(t testing.TB, o Options) *Local {
	t.Helper()
	l, err := NewLocal(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func users(t testing.TB, p Presence, topic, after string, limit int) string {
	t.Helper()
	names, err := p.Users(t.Context(), topic, after, limit)
	if err != nil {
		t.Error(err)
	}
	return strings.Join(names, " ")
}

func TestFirstSessionComesAndLastGoes(t *testing.T) {
	var told log
	held := memory.Kept.Used()
	l, ctx := mustNew(t, Options{Changed: told.changed}), t.Context()
	for _, c := range []struct{ do, told, users string }{
		{"-kim 1", "", ""},
		{"+kim 1", "+kim@a", "kim"},
		{"+kim 1", "", "kim"},
		{"+kim 2", "", "kim"},
		{"+ann 3", "+ann@a", "ann kim"},
		{"-lee 1", "", "ann kim"},
		{"-kim 1", "", "ann kim"},
		{"-kim 1", "", "ann kim"},
		{"+lee 4", "+lee@a", "ann kim lee"},
		{"-kim 2", "-kim@a", "ann lee"},
		{"-ann 3", "-ann@a", "lee"},
		{"+kim 2", "+kim@a", "kim lee"},
		{"-kim 2", "-kim@a", "lee"},
		{"-lee 4", "-lee@a", ""},
	} {
		who, session, _ := strings.Cut(c.do[1:], " ")
		if err := map[byte]func(context.Context, string, string, string) error{'+': l.Join, '-': l.Leave}[c.do[0]](ctx, "a", who, session); err != nil {
			t.Errorf("%s: %v", c.do, err)
		}
		if got := told.take(); got != c.told {
			t.Errorf("%s: %q is told, want %q", c.do, got, c.told)
		}
		if got := users(t, l, "a", "", 10); got != c.users {
			t.Errorf("%s: %q are there, want %q", c.do, got, c.users)
		}
		if n := int(l.Stats().Users.Load()); n != len(strings.Fields(c.users)) {
			t.Errorf("%s: %d users are counted", c.do, n)
		}
	}
	if n := l.Stats().Topics.Load(); n != 0 || len(l.topics) != 0 || memory.Kept.Used() != held {
		t.Errorf("%d topics, %d bytes are kept", n, memory.Kept.Used()-held)
	}
}

func TestListIsInPages(t *testing.T) {
	l := mustNew(t, Options{})
	for _, name := range []string{"d", "b", "é", "a", "c"} {
		l.Join(t.Context(), "x", name, "1")
	}
	l.Join(t.Context(), "y", "z", "1")
	for _, c := range []struct {
		after string
		limit int
		want  string
	}{{"", 2, "a b"}, {"b", 2, "c d"}, {"d", 2, "é"}, {"é", 2, ""}, {"bb", 1, "c"}, {"", 0, ""}, {"", 9, "a b c d é"}} {
		if got := users(t, l, "x", c.after, c.limit); got != c.want {
			t.Errorf("%d after %q: %q, want %q", c.limit, c.after, got, c.want)
		}
	}
	if got := users(t, l, "z", "", 1); got != "" {
		t.Errorf("nobody is %q", got)
	}
}

func TestLimitsRefuse(t *testing.T) {
	l, ctx := mustNew(t, Options{TopicLimit: 2, UserLimit: 2}), t.Context()
	for _, c := range []struct {
		topic, user, session string
		want                 error
	}{
		{"a", "kim", "1", nil}, {"a", "lee", "2", nil}, {"a", "ann", "3", ErrUsers}, {"a", "kim", "4", nil},
		{"b", "kim", "1", nil}, {"c", "kim", "1", ErrTopics},
	} {
		if err := l.Join(ctx, c.topic, c.user, c.session); err != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if l.Stats().Refused.Load() != 2 {
		t.Errorf("%d are counted", l.Stats().Refused.Load())
	}
	l.Leave(ctx, "a", "lee", "2")
	l.Leave(ctx, "b", "kim", "1")
	if err := errors.Join(l.Join(ctx, "a", "ann", "3"), l.Join(ctx, "c", "kim", "1")); err != nil {
		t.Errorf("after some have left: %v", err)
	}
	if _, err := NewLocal(Options{UserLimit: -1}); err == nil || err.Error() != "presence: UserLimit is -1; it must not be negative" {
		t.Errorf("got %v", err)
	}
}

func TestMemoryRefuses(t *testing.T) {
	defer memory.SetLimit(memory.SetLimit(4 * (memory.Kept.Used() + int64(2*size("a", "kim", "1")))))
	l, ctx := mustNew(t, Options{}), t.Context()
	var errs [3]error
	for i := range errs {
		errs[i] = l.Join(ctx, "a", "kim", fmt.Sprint(i))
	}
	if errs != [3]error{nil, nil, memory.ErrFull} {
		t.Errorf("got %v", errs)
	}
	for i := range errs {
		l.Leave(ctx, "a", "kim", fmt.Sprint(i))
	}
	if err := l.Join(ctx, "a", "kim", "1"); err != nil {
		t.Error(err)
	}
	l.Leave(ctx, "a", "kim", "1")
}

// While a change is being told, nobody waits for that; what is no change in the end is not
// told, and the last that is told is what is so.
func TestSlowChangesAreToldInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told log
		goOn := make(chan struct{})
		l := mustNew(t, Options{Changed: func(c Change) {
			told.changed(c)
			<-goOn
		}})
		ctx := t.Context()
		go l.Join(ctx, "a", "kim", "1")
		synctest.Wait()
		for range 1000 { // comes and goes
			l.Join(ctx, "a", "lee", "1")
			l.Leave(ctx, "a", "lee", "1")
		}
		l.Leave(ctx, "a", "kim", "1")
		l.Join(ctx, "a", "ann", "1")
		if n := len(l.topics["a"].changed); n != 3 {
			t.Errorf("%d changes wait", n)
		}
		if got := users(t, l, "a", "", 9); got != "ann" {
			t.Errorf("%q are there", got)
		}
		close(goOn)
		synctest.Wait()
		if got := told.take(); got != "+kim@a -kim@a +ann@a" {
			t.Errorf("%q is told", got)
		}
	})
}

// Whatever order sessions come and go in, what others have been told is what is so.
func TestWhatIsToldIsSo(t *testing.T) {
	var mu sync.Mutex
	online := map[Change]bool{}
	l := mustNew(t, Options{Changed: func(c Change) {
		key := Change{Topic: c.Topic, User: c.User}
		mu.Lock()
		defer mu.Unlock()
		if online[key] == c.Online {
			t.Errorf("%+v is told twice", c)
		}
		online[key] = c.Online
	}})
	var all sync.WaitGroup
	for session := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(session)))
			in := map[Change]bool{}
			for range 2000 {
				key := Change{Topic: fmt.Sprint(random.IntN(2)), User: fmt.Sprint(random.IntN(3))}
				if in[key] = !in[key]; in[key] {
					l.Join(t.Context(), key.Topic, key.User, fmt.Sprint(session))
				} else {
					l.Leave(t.Context(), key.Topic, key.User, fmt.Sprint(session))
				}
			}
		})
	}
	all.Wait()
	for key, is := range online {
		names, _ := l.Users(t.Context(), key.Topic, "", 10)
		if slices.Contains(names, key.User) != is {
			t.Errorf("%+v: told %v, there are %v", key, is, names)
		}
	}
}
