package main

import (
	"context"
	"crypto/tls"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/goccy/go-yaml/ast"
	"go.uber.org/zap"
)

// certificateEvery is how often it is looked whether a certificate's files have changed.
const certificateEvery = 10 * time.Second

// A certificate is that of the listener, with its chain and its key, in two PEM files.
// Those are read again while the server runs; connections keep what they have.
type certificate struct {
	cert, key string
	parked    bool // TLS connections wait without a goroutine
	limit     int  // of handshakes that are under way, or 0: the default
	current   atomic.Pointer[tls.Certificate]
	read      [2]fileState // of the files when they were last read; the watcher's
	seen      [2]fileState // and when they were last looked at
}

// A fileState differs once a file has been replaced or written.
type fileState struct {
	modified time.Time
	size     int64
}

// setting is a certificate in a file in dir, to which the names of its files are relative.
func (c *certificate) setting(dst **certificate, dir string) setting {
	names := mapping(map[string]setting{
		"cert":            required(scalar(&c.cert, fileKind)),
		"key":             required(scalar(&c.key, fileKind)),
		"parked":          scalar(&c.parked, boolKind),
		"handshake_limit": scalar(&c.limit, countKind),
	})
	return setting{want: names.want, keys: names.keys, read: func(s *source, at string, n ast.Node) {
		names.read(s, at, n)
		if !c.parked && c.limit > 0 {
			s.fault(line(n), "%s.handshake_limit is of connections that are parked; leave it out, or parked: false", at)
		}
		if c.cert == "" || c.key == "" {
			return
		}
		c.cert, c.key = in(dir, c.cert), in(dir, c.key)
		if err := c.load(); err != nil {
			s.fault(line(n), "%s: %v; it must be a certificate and its key, both PEM", at, err)
			return
		}
		*dst = c
	}}
}

// load reads the files. Where they are not right, what was read before stays.
func (c *certificate) load() error {
	c.read = c.look()
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err == nil {
		c.current.Store(&pair)
	}
	return err
}

func (c *certificate) look() (states [2]fileState) {
	for i, name := range []string{c.cert, c.key} {
		if info, err := os.Stat(name); err == nil {
			states[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return states
}

// get is for tls.Config.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// watch reads the files again once they have changed, or at SIGHUP. It ends with the
// context.
func (c *certificate) watch(ctx context.Context, log *zap.Logger) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(certificateEvery)
	defer tick.Stop()
	c.seen = c.read
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			c.renew(log)
		case <-tick.C:
			if c.changed() {
				c.renew(log)
			}
		}
	}
}

// changed tells whether the files are others than those that were read, and have been so
// for a while: the two are written one after the other.
func (c *certificate) changed() bool {
	before := c.seen
	c.seen = c.look()
	return c.seen != c.read && c.seen == before
}

// renew reads the files, and logs what came of it.
func (c *certificate) renew(log *zap.Logger) {
	files := zap.Strings("files", []string{c.cert, c.key})
	if err := c.load(); err != nil {
		log.Error("certificate is not right: the one from before stays", files, zap.Error(err))
		return
	}
	log.Info("certificate read again", files, zap.Time("expires", c.current.Load().Leaf.NotAfter))
}
