package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestBlockingReceivesInALoop(t *testing.T) {
	opener := Blocking(func(c *Conn) error {
		for {
			text, err := c.Recv(context.Background())
			if err != nil {
				return err
			}
			if string(text) == "quit" {
				return nil
			}
			c.Send(append([]byte("got "), text...))
		}
	})
	bubble(t, opener, config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		s.Receive(t.Context(), []byte("a"), []byte("b"))
		synctest.Wait()
		r.next(t, s, `a["got a","got b"]`)
		s.Receive(t.Context(), []byte("quit"))
		synctest.Wait()
		r.next(t, s, `c[3000,"Go away!"]`)
	})
	bubble(t, opener, config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		s.Detach(r, errors.New("gone")) // ends the function, and waits for it
	})
}

func TestBlockingFunctionMayPanic(t *testing.T) {
	opener := Blocking(func(*Conn) error { panic("oops") })
	bubble(t, opener, config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		synctest.Wait()
		r.next(t, s, "o")
		r.next(t, s, `c[1011,"Internal error"]`)
	})
}
