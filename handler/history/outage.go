package history

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// After an error of the store nobody calls it until a while is over: the longer, the oftener
// it has failed one after the other. Then one publication at a time tries.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Ask calls the store with ctx and StoreTimeout, unless it has just failed or the log has
// closed. An error of a store that cannot be asked now wraps ErrUnavailable.
func (l *Log) Ask(ctx context.Context, f func(ctx context.Context, s Store) error) error {
	within, cancel := context.WithTimeout(ctx, l.options.StoreTimeout)
	defer cancel()
	return l.ask(ctx, within, f)
}

func (l *Log) ask(ctx, within context.Context, f func(ctx context.Context, s Store) error) error {
	if err := l.begin(); err != nil {
		return err
	}
	defer l.calls.Done()
	err := f(within, l.store)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err() // who asked has gone
	case errors.Is(err, ErrUnavailable):
		l.failed(err)
	case within.Err() != nil:
		err = fmt.Errorf("%w: no answer within %v: %w", ErrUnavailable, l.options.StoreTimeout, err)
		l.failed(err)
	}
	return err
}

func (l *Log) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrClosed
	case l.failures > 0 && time.Now().Before(l.retry):
		return ErrUnavailable
	}
	l.calls.Add(1)
	return nil
}

// tries tells whether a publication may wait for the store. l.mu is held.
func (l *Log) tries() bool {
	return l.failures == 0 || !l.writing && len(l.queue) == 0 && !time.Now().Before(l.retry)
}

// failed is told of an error of the store. Of those that come while it is not asked, of
// calls that had begun, the first counts.
func (l *Log) failed(err error) {
	l.stats.Errors.Add(1)
	l.mu.Lock()
	now := time.Now()
	first := l.failures == 0
	if first || !now.Before(l.retry) {
		l.retry = now.Add(min(lastRetry, firstRetry<<min(l.failures, 10)))
		l.failures++
	}
	l.mu.Unlock()
	if first {
		l.stats.Outages.Add(1)
		l.log.Warn("history: the store fails: what is to be kept is refused until it works again", "error", err)
	}
}

// works is told that the store has taken something.
func (l *Log) works() {
	l.mu.Lock()
	ended := l.failures > 0
	l.failures = 0
	l.mu.Unlock()
	if ended {
		l.log.Info("history: the store works again")
	}
}
