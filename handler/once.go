package handler

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// Once returns the number for Publication.Once of what is published on a topic under an ID.
func Once(topic, id string) uint64 {
	sum := sha256.Sum256([]byte(topic + "\x00" + id))
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}

// How much of what was delivered is known: longer than who publishes waits for an answer.
const (
	onceFor  = 2 * time.Minute
	onceMost = 1 << 16
)

// A window is what has been delivered, not long ago.
type window struct {
	mu   sync.Mutex // guards the rest
	seen map[delivered]struct{}
	list []delivery // in their order
}

type delivered struct {
	topic string
	once  uint64
}

type delivery struct {
	delivered
	at time.Time
}

// first tells whether this is the first delivery of a number on a topic.
func (w *window) first(topic string, once uint64) bool {
	now, d := time.Now(), delivered{topic, once}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.list) > 0 && (len(w.list) >= onceMost || now.Sub(w.list[0].at) > onceFor) {
		delete(w.seen, w.list[0].delivered)
		w.list[0] = delivery{}
		w.list = w.list[1:]
	}
	if _, again := w.seen[d]; again {
		return false
	}
	if w.seen == nil {
		w.seen = make(map[delivered]struct{})
	}
	w.seen[d] = struct{}{}
	w.list = append(w.list, delivery{d, now})
	return true
}
