package igm

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/igm/sockjs-go/v3/sockjs"

	"switchback/session"
	"switchback/transport"
)

func testRegistry(limit int) *registry {
	o, err := transport.Options{SessionLimit: limit}.Complete()
	if err != nil {
		panic(err)
	}
	return newRegistry(o)
}

func admitted(t *testing.T, g *registry, key string) *adapter {
	t.Helper()
	if err := g.admit(new(session.Peer)); err != nil {
		t.Fatal(err)
	}
	return g.add(&adapter{key: key})
}

func TestSecondRequestFindsTheFirstsSession(t *testing.T) {
	g := testRegistry(1)
	a := admitted(t, g, "a")
	if g.find("a") != a {
		t.Fatal("not found")
	}
	g = testRegistry(2)
	if a := admitted(t, g, "a"); admitted(t, g, "a") != a {
		t.Fatal("two sessions with one key")
	}
	if g.admitted != 1 {
		t.Fatalf("%d admitted", g.admitted)
	}
}

func TestSessionIsClaimedOnce(t *testing.T) {
	g := testRegistry(1)
	a := admitted(t, g, "")
	if end := g.claim(a, sockjs.Session{}); end != nil {
		t.Fatal(end)
	}
	if end := g.claim(a, sockjs.Session{}); end == nil || end.Code != session.CodeInterrupted {
		t.Fatalf("second claim: %v", end)
	}
}

func TestNoSessionIsClaimedDuringShutdown(t *testing.T) {
	g := testRegistry(1)
	a := admitted(t, g, "")
	<-g.stop()
	if end := g.claim(a, sockjs.Session{}); end == nil || end.Code != session.CodeGoingAway {
		t.Fatalf("claim: %v", end)
	}
}

func TestUnclaimedSessionIsForgottenAfterTheDisconnectDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := testRegistry(1)
		a := admitted(t, g, "a")
		g.expire(a)
		g.expire(a) // two requests had added it at once
		time.Sleep(g.options.DisconnectDelay - 1)
		synctest.Wait()
		if g.find("a") != a {
			t.Fatal("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if g.find("a") != nil || g.admitted != 0 || len(g.addresses) != 0 {
			t.Fatalf("not forgotten: %d admitted", g.admitted)
		}
		if end := g.claim(a, sockjs.Session{}); end == nil || end.Code != session.CodeInterrupted {
			t.Fatalf("claim: %v", end)
		}
	})
}
