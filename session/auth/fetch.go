package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Times of keys that are fetched.
const (
	refreshDelay = 10 * time.Minute // between two fetches
	retryDelay   = 10 * time.Second // after one that failed, and at least between those for unknown keys
	fetchTimeout = 10 * time.Second
	awaitTimeout = 5 * time.Second // that a token of an unknown key waits for a fetch
	awaitLimit   = 64              // tokens that wait for one; others are of an unknown key at once
	setLimit     = 1 << 20         // bytes of a JWK set
)

// A remote keeps keys up to date with a URL, on a goroutine of its own.
type remote struct {
	url            string
	log            *slog.Logger
	client         *http.Client
	refresh, retry time.Duration
	store          func(keys []key)
	stats          KeyStats

	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
	wanted chan struct{} // somebody waits for another fetch

	mu       sync.Mutex // guards the rest
	fetching bool
	waiting  int           // calls of await
	last     time.Time     // when the last fetch began
	done     chan struct{} // closed at the end of the next fetch, or of this one
}

// KeyStats count how keys were fetched.
type KeyStats struct {
	Fetched  atomic.Int64 // JWK sets
	Failures atomic.Int64 // fetches that brought none: the last keys stay
}

// FetchKeys returns the keys of a JWK set at a URL. They are fetched at once, every 10
// minutes, and when a token is of a key that is not known, but at most every 10 seconds.
// While that fails the last ones stay; the beginning and the end of such a time are a line
// in the log each. Redirections are not followed: the keys are of the URL that is named.
// Close ends the goroutine that does it.
func FetchKeys(url string, log *slog.Logger) (*Keys, error) {
	return fetchKeys(url, log, refreshDelay, retryDelay)
}

func fetchKeys(address string, log *slog.Logger, refresh, retry time.Duration) (*Keys, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("auth: the URL of the keys must begin with https:// or http://")
	}
	keys := new(Keys)
	ctx, cancel := context.WithCancel(context.Background())
	keys.remote = &remote{
		url: address,
		log: log.With("keys", (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()),
		client: &http.Client{
			Transport:     http.DefaultTransport.(*http.Transport).Clone(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		refresh: refresh, retry: retry,
		store: func(k []key) { keys.current.Store(&k) },
		ctx:   ctx, cancel: cancel,
		ended: make(chan struct{}), wanted: make(chan struct{}, 1), done: make(chan struct{}),
	}
	keys.remote.begin()
	go keys.remote.run() // ends with close
	return keys, nil
}

// Stats are the counters of the keys, which are their own to change; those of keys of a
// file stay zero.
func (k *Keys) Stats() *KeyStats {
	if k.remote == nil {
		return new(KeyStats)
	}
	return &k.remote.stats
}

func (r *remote) close() {
	r.cancel()
	<-r.ended
}

func (r *remote) run() {
	defer close(r.ended)
	defer r.client.CloseIdleConnections()
	for failing := false; ; {
		err := r.fetch()
		if r.ctx.Err() != nil {
			return
		}
		if err != nil {
			r.stats.Failures.Add(1)
		} else {
			r.stats.Fetched.Add(1)
		}
		switch {
		case err != nil && !failing:
			r.log.Warn("auth: keys cannot be fetched; the last ones stay", "error", err)
		case err == nil && failing:
			r.log.Info("auth: keys are fetched again")
		}
		failing = err != nil
		r.end()
		if !r.rest(failing) {
			return
		}
		r.begin()
	}
}

// rest waits until keys are to be fetched again. It returns false where that is never.
func (r *remote) rest(failing bool) bool {
	wait := r.refresh
	if failing {
		wait = r.retry
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return false
		case <-t.C:
			return true
		case <-r.wanted:
			if r.mayAsk() {
				return true
			}
		}
	}
}

func (r *remote) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetching, r.last = true, time.Now()
}

// end lets go on who waits for the fetch.
func (r *remote) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetching = false
	close(r.done)
	r.done = make(chan struct{})
}

func (r *remote) mayAsk() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.last) >= r.retry
}

// await waits for the end of a fetch, which it asks for unless one is under way. It
// returns false at once where there was one just now, or where awaitLimit others wait: each
// holds a request.
func (r *remote) await() bool {
	r.mu.Lock()
	if r.waiting == awaitLimit {
		r.mu.Unlock()
		return false
	}
	r.waiting++
	fetching, done := r.fetching, r.done
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.waiting--
	}()
	if !fetching {
		if !r.mayAsk() {
			return false
		}
		select {
		case r.wanted <- struct{}{}:
		default: // somebody has asked
		}
	}
	t := time.NewTimer(awaitTimeout)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
	case <-r.ctx.Done():
	}
	return false
}

// fetch replaces the keys by those that are at the URL now. The error quotes nothing of
// the URL.
func (r *remote) fetch() error {
	ctx, cancel := context.WithTimeout(r.ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := r.client.Do(request)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, setLimit+1))
	if err != nil {
		return err
	}
	if len(text) > setLimit {
		return fmt.Errorf("the answer has more than %d bytes", setLimit)
	}
	keys, err := parseSet(text)
	if err != nil {
		return err
	}
	r.store(keys)
	return nil
}
