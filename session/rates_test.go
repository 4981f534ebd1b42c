package session

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"switchback/session/limit"
)

func TestUserLimit(t *testing.T) {
	for _, byHandler := range []bool{false, true} {
		c := config
		c.UserLimit = 2
		var opener Opener = door{OpenerFunc: func(*http.Request) (Handler, error) { return new(recorder), nil }}
		if byHandler {
			opener = OpenerFunc(func(r *http.Request) (Handler, error) {
				return &named{id: &Identity{User: r.Header.Get("User")}}, nil
			})
		}
		bubble(t, opener, c, func(t *testing.T, g *Registry) {
			open := func(key, user string) error {
				_, err := g.Open(key, asking(user), Peer{}, SockJS, new(receiver))
				return err
			}
			for _, key := range []string{"1", "2"} {
				if err := open(key, "kim"); err != nil {
					t.Fatal(err)
				}
			}
			var refused *RefusedError
			if err := open("3", "kim"); !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable {
				t.Errorf("got %v", err)
			}
			if s := g.Stats(); s.Crowded.Load() != 1 || s.Refused.Load() != 1 || s.Sessions.Load() != 2 {
				t.Errorf("%d crowded, %d refused, %d live", s.Crowded.Load(), s.Refused.Load(), s.Sessions.Load())
			}
			for _, key := range []string{"a", "b", "c"} {
				if err := open(key, ""); err != nil {
					t.Errorf("nobody: %v", err)
				}
			}
			if err := open("2", "lee"); err != ErrAttached {
				t.Errorf("got %v", err)
			}
			for _, key := range []string{"4", "5"} { // the one before does not count
				if err := open(key, "lee"); err != nil {
					t.Errorf("another: %v", err)
				}
			}
			s := g.Find("1")
			s.Detach(s.Receiver(), nil)
			time.Sleep(2 * config.DisconnectDelay)
			if err := open("6", "kim"); err != nil {
				t.Errorf("after one has gone: %v", err)
			}
		})
	}
}

// A named is a handler that its opener has made for somebody.
type named struct {
	recorder
	id *Identity
}

func (h *named) Identity() *Identity { return h.id }

// What a client sends, a message a word, at what second, and what ends its session.
func TestRates(t *testing.T) {
	for _, c := range []struct {
		name   string
		config func(c *Config)
		sends  []string
		end    string
	}{
		{"off", func(*Config) {}, []string{strings.Repeat("x ", 1000)}, ""},
		{"messages", func(c *Config) { c.MessageRate = limit.Rate{PerSecond: 1, Burst: 3} }, []string{"a b c", "d", "", "e f"}, ""},
		{"messages", func(c *Config) { c.MessageRate = limit.Rate{PerSecond: 1, Burst: 3} }, []string{"a b c", "d e"}, "close 1008 Too many messages a second"},
		{"messages", func(c *Config) { c.MessageRate = limit.Rate{PerSecond: 1, Burst: 3} }, []string{"a b c d"}, "close 1008 Too many messages a second"},
		{"bytes", func(c *Config) { c.ByteRate = limit.Rate{PerSecond: 4, Burst: 8} }, []string{"12345678", "1234", "12 34"}, ""},
		{"bytes", func(c *Config) { c.ByteRate = limit.Rate{PerSecond: 4, Burst: 8} }, []string{"12345678", "12345"}, "close 1008 Too many bytes a second"},
		{"bytes", func(c *Config) { c.ByteRate = limit.Rate{PerSecond: 4, Burst: 8} }, []string{"123456789"}, "close 1008 Too many bytes a second"},
		{"publish", func(c *Config) { c.PublishRate = limit.Rate{PerSecond: 1, Burst: 2} }, []string{"a b", "c"}, ""},
		{"publish", func(c *Config) { c.PublishRate = limit.Rate{PerSecond: 1, Burst: 2} }, []string{"a b", "c d"}, "close 1008 Too many messages a second from all sessions of this user"},
	} {
		conf := config
		c.config(&conf)
		h := new(recorder)
		bubble(t, Shared(h), conf, func(t *testing.T, g *Registry) {
			s, _ := open1(t, g, "k")
			want := []string{"open"}
			for i, send := range c.sends {
				var texts [][]byte
				for word := range strings.FieldsSeq(send) {
					texts = append(texts, []byte(word))
				}
				err := s.Receive(context.Background(), texts...)
				if last := i == len(c.sends)-1; last && c.end != "" {
					if err != ErrClosed {
						t.Errorf("%s: got %v", c.name, err)
					}
					want = append(want, c.end) // none of them is taken
					break
				}
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				for _, text := range texts {
					want = append(want, "message "+string(text))
				}
				time.Sleep(time.Second)
			}
			h.want(t, want...)
			if n := g.Stats().Fast.Load(); (n == 1) != (c.end != "") {
				t.Errorf("%s: %d are counted", c.name, n)
			}
			if c.end != "" && !errors.Is(context.Cause(s.Context()), ErrFast) {
				t.Errorf("%s: %v", c.name, context.Cause(s.Context()))
			}
			if (s.meter == nil) != (c.name == "off") {
				t.Errorf("%s: has a meter: %v", c.name, s.meter)
			}
		})
	}
}

// The sessions of a user share a rate, whoever of them sends; nobody's do not.
func TestPublishRateIsAUsers(t *testing.T) {
	for _, user := range []string{"kim", ""} {
		c := config
		c.PublishRate = limit.Rate{PerSecond: 1, Burst: 2}
		opener := door{OpenerFunc: func(*http.Request) (Handler, error) { return new(recorder), nil }}
		bubble(t, opener, c, func(t *testing.T, g *Registry) {
			var errs []error
			for _, key := range []string{"1", "2", "3"} {
				s, err := g.Open(key, asking(user), Peer{}, SockJS, new(receiver))
				if err != nil {
					t.Fatal(err)
				}
				errs = append(errs, s.Receive(context.Background(), []byte("x")))
			}
			if errs[0] != nil || errs[1] != nil || (errs[2] == ErrClosed) != (user != "") {
				t.Errorf("%q: got %v", user, errs)
			}
		})
	}
}
