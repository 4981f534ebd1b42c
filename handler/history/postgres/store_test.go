package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"switchback/handler/history"
	"switchback/handler/history/memory"
	"switchback/handler/history/postgres"
	"switchback/handler/history/postgrestest"
	"switchback/handler/history/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, server *postgrestest.Server, schema string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), server.URL, postgres.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var schemas atomic.Int64

// newSchema is the name of a schema that is not there, which has to be quoted.
func newSchema() string { return fmt.Sprintf(`Schema "%d"`, schemas.Add(1)) }

func TestStore(t *testing.T) {
	server := postgrestest.Start(t, "synchronous_commit=off") // which a store turns on for itself
	storetest.Run(t, func(t *testing.T) (history.Store, func() history.Store) {
		schema := newSchema()
		s := open(t, server, schema)
		return s, func() history.Store {
			s.Close()
			s = open(t, server, schema)
			return s
		}
	})
	for seed := range uint64(3) {
		t.Run("Compare", func(t *testing.T) {
			storetest.Compare(t, storetest.Script(seed), open(t, server, newSchema()), memory.New(memory.Options{}))
		})
	}
	t.Run("Durable", func(t *testing.T) {
		if got, err := open(t, server, newSchema()).Setting(t.Context(), "synchronous_commit"); got != "on" {
			t.Errorf("synchronous_commit is %q: %v", got, err)
		}
	})
	t.Run("Plans", func(t *testing.T) { testPlans(t, server) })
	t.Run("Nodes", func(t *testing.T) { testNodes(t, server) })
	t.Run("Migrate", func(t *testing.T) { testMigrate(t, server) })
	t.Run("Locked", func(t *testing.T) { testLocked(t, server) })
	t.Run("NotOpened", func(t *testing.T) { testNotOpened(t, server) })
	t.Run("Killed", func(t *testing.T) { testKilled(t, server) })
}

// Several nodes write the same topics, in batches that have them in another order.
func testNodes(t *testing.T, server *postgrestest.Server) {
	const nodes, batches = 3, 30
	schema := newSchema()
	var all sync.WaitGroup
	for n := range nodes {
		s := open(t, server, schema)
		for p := range 2 {
			all.Go(func() {
				for b := range batches {
					var batch []*history.Append
					for i := range 8 {
						batch = append(batch, &history.Append{
							Topic: fmt.Sprint("topic ", (b/10)*4+(p+n+i*3)%4),
							Entry: history.Entry{ID: fmt.Sprint(n, p, b, i)},
						})
					}
					if err := s.Append(t.Context(), batch); err != nil {
						t.Error(err)
					}
					if err := s.Settle(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	one, other := open(t, server, schema), open(t, server, schema)
	for i := range 12 {
		got, err := one.Read(t.Context(), fmt.Sprint("topic ", i), history.Range{Limit: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for n, e := range got {
			if e.Offset != uint64(n+1) {
				t.Fatalf("after %d comes %d", n, e.Offset)
			}
		}
		if len(got) != nodes*2*batches*8/12 {
			t.Errorf("topic %d has %d entries", i, len(got))
		}
	}

	// A topic is fast for one of them.
	epoch := func(s history.Store) uint64 {
		t.Helper()
		topic, err := s.Open(t.Context(), "fast", true)
		if err != nil {
			t.Fatal(err)
		}
		return topic.Epoch
	}
	if first := epoch(one); epoch(one) != first || epoch(other) == first {
		t.Error("two nodes give the offsets of one epoch")
	}
}

func testMigrate(t *testing.T, server *postgrestest.Server) {
	schema := newSchema()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			s, err := postgres.Open(t.Context(), server.URL, postgres.Options{Schema: schema})
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	all.Wait()

	// Who may only use what is there can open it.
	c := connect(t, server)
	quoted := pgx.Identifier{schema}.Sanitize()
	exec1(t, c, `create role lowly login password 'low'`)
	exec1(t, c, `grant usage on schema `+quoted+` to lowly`)
	exec1(t, c, `grant all on all tables in schema `+quoted+` to lowly`)
	u, _ := url.Parse(server.URL)
	u.User = url.UserPassword("lowly", "low")
	s, err := postgres.Open(t.Context(), u.String(), postgres.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := appendTo(t.Context(), s, "a", ""); err != nil {
		t.Error(err)
	}
}

// A page, 100 IDs, and a count up to a limit are read without what else there is of a topic, even where
// the server has not looked yet at how much there is.
func testPlans(t *testing.T, server *postgrestest.Server) {
	s := open(t, server, newSchema())
	var batch []*history.Append
	for i := range 20_000 {
		batch = append(batch, &history.Append{Topic: "a", Entry: history.Entry{ID: fmt.Sprint(i), Data: make([]byte, 50)}})
	}
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	plans, err := s.Explain(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	actual := regexp.MustCompile(`actual rows=(\d+)`)
	for what, plan := range plans {
		found := actual.FindAllStringSubmatch(plan, -1)
		for _, rows := range found {
			if n, _ := strconv.Atoi(rows[1]); n > 100 {
				t.Errorf("%s: %d rows are read:\n%s", what, n, plan)
				break
			}
		}
		if len(found) == 0 {
			t.Errorf("%s: no rows are told:\n%s", what, plan)
		}
	}
}

func connect(t *testing.T, server *postgrestest.Server) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func exec1(t *testing.T, c *pgx.Conn, query string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

func appendTo(ctx context.Context, s history.Store, topic, id string) error {
	return s.Append(ctx, []*history.Append{{Topic: topic, Entry: history.Entry{ID: id}}})
}

// Somebody has locked a topic: who writes to it waits no longer than is allowed, and others
// are not hindered.
func testLocked(t *testing.T, server *postgrestest.Server) {
	schema := newSchema()
	open(t, server, schema)
	s, err := postgres.Open(t.Context(), server.URL, postgres.Options{Schema: schema, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := appendTo(t.Context(), s, "a", ""); err != nil {
		t.Fatal(err)
	}
	c := connect(t, server)
	exec1(t, c, `begin; update `+pgx.Identifier{schema, "topics"}.Sanitize()+` set mark = mark`)
	if err := appendTo(t.Context(), s, "a", ""); !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("locked: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := appendTo(ctx, s, "a", ""); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("locked, for as long as is allowed: %v", err)
	}
	if err := appendTo(t.Context(), s, "b", ""); err != nil {
		t.Errorf("what is not locked: %v", err)
	}
	if got, err := s.Read(t.Context(), "a", history.Range{Limit: 9}); err != nil || len(got) != 1 {
		t.Errorf("read %v: %v", got, err)
	}
	exec1(t, c, `rollback`)
	if err := appendTo(t.Context(), s, "a", ""); err != nil {
		t.Errorf("not locked any more: %v", err)
	}
	if topic, err := s.Topic(t.Context(), "a"); err != nil || topic.Last != 2 {
		t.Errorf("%+v: %v", topic, err)
	}
}

func testNotOpened(t *testing.T, server *postgrestest.Server) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and does not answer
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	newer := newSchema()
	open(t, server, newer)
	exec1(t, connect(t, server), `update `+pgx.Identifier{newer, "version"}.Sanitize()+` set version = 99`)

	const secret = "h1dden"
	change := func(change func(u *url.URL)) string {
		u, _ := url.Parse(server.URL)
		change(u)
		return u.String()
	}
	for _, test := range []struct{ url, schema, want string }{
		{change(func(u *url.URL) { u.User = url.UserPassword("switchback", secret) }), "", "password authentication failed"},
		{change(func(u *url.URL) { u.User = url.UserPassword("nobody", secret) }), "", "password authentication failed"},
		{change(func(u *url.URL) { u.Path = "/nothing" }), "", `database "nothing" does not exist`},
		{"postgres://kim:" + secret + "@127.0.0.1:1/db?sslmode=disable", "", "connection refused"},
		{"postgres://kim:" + secret + "@" + silent.Addr().String() + "/db?sslmode=disable", "", "deadline exceeded"},
		{"postgres://kim:" + secret + "@127.0.0.1:port/db", "", "the URL cannot be read"},
		{"postgres://kim:" + secret + "%zz@127.0.0.1/db", "", "the URL cannot be read"},
		{"postgres://kim:a/" + secret + "@127.0.0.1/db", "", "the URL cannot be read"},
		{"postgres://kim:a:" + secret + "/b@127.0.0.1/db", "", "the URL cannot be read"},
		{"postgres://kim:" + secret + "@127.0.0.1/db?sslmode=perhaps", "", "the URL cannot be read"},
		{"postgres://127.0.0.1/db?password=" + secret + "&sslmode=perhaps", "", "the URL cannot be read"},
		{"postgres://kim:" + secret + "@127.0.0.1/db?sslmode=verify-full&sslrootcert=/none.pem", "", "/none.pem: no such file"},
		{"mysql://kim:" + secret + "@127.0.0.1/db", "", "the URL cannot be read"},
		{server.URL, newer, "version 99, of a newer switchback; this one knows up to 1"},
	} {
		s, err := postgres.Open(t.Context(), test.url, postgres.Options{Schema: test.schema, Timeout: time.Second})
		if err == nil {
			s.Close()
			t.Errorf("%s is opened", test.url)
			continue
		}
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, not %s", test.url, err, test.want)
		}
		if text := err.Error(); strings.Contains(text, secret) || strings.Contains(text, postgrestest.Password) || strings.Contains(text, "s3cret") {
			t.Errorf("%s has the password: %v", test.url, err)
		}
	}
	if _, err := postgres.Open(t.Context(), server.URL, postgres.Options{Connections: -1}); err == nil {
		t.Error("-1 connections are taken")
	}
}

// The server is killed while it is written to: what is acknowledged is stored, once and in
// order, and the store goes on as soon as there is a server again.
func testKilled(t *testing.T, server *postgrestest.Server) {
	s, err := postgres.Open(t.Context(), server.URL, postgres.Options{Schema: newSchema(), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	const publishers = 4
	var stored, failed [publishers]atomic.Int64
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; {
				err := appendTo(ctx, s, fmt.Sprint("topic ", p), fmt.Sprint(i))
				switch {
				case err == nil:
					i++
					stored[p].Add(1)
				case errors.Is(err, history.ErrUnavailable):
					failed[p].Add(1)
					time.Sleep(time.Millisecond)
				case ctx.Err() == nil:
					t.Error(err)
					return
				}
			}
		})
	}
	more := func(counts *[publishers]atomic.Int64) {
		t.Helper()
		until := time.Now().Add(20 * time.Second)
		for p := range counts {
			for before := counts[p].Load(); counts[p].Load() < before+20; {
				if time.Now().After(until) {
					t.Fatal("nothing goes on")
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	for range 2 {
		more(&stored)
		server.Kill()
		more(&failed)
		server.Start()
	}
	more(&stored)
	stop()
	all.Wait()
	for p := range publishers {
		name := fmt.Sprint("topic ", p)
		got, err := s.Read(t.Context(), name, history.Range{Limit: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if n := int(stored[p].Load()); len(got) < n || len(got) > n+1 {
			t.Errorf("%s: %d acknowledged, %d stored", name, n, len(got))
		}
		for i, e := range got {
			if e.Offset != uint64(i+1) || e.ID != fmt.Sprint(i) {
				t.Fatalf("%s: entry %d is %d, %s", name, i, e.Offset, e.ID)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	storetest.BenchAppend(b, open(b, postgrestest.Start(b, "fsync=on"), "bench"))
}

func BenchmarkRead(b *testing.B) {
	storetest.BenchRead(b, open(b, postgrestest.Start(b, "fsync=on"), "bench"))
}
