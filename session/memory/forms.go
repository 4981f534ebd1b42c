package memory

import (
	"sync"
	"sync/atomic"
)

// Forms are the encodings of one message, each made once. Whoever holds one of them
// holds all, and they are counted once, from the first holder to the last. The zero
// Forms is ready for use; its methods may be called from any goroutine.
type Forms struct {
	first   atomic.Pointer[Form]
	holders atomic.Int32 // 0 to 1 and 1 to 0 with mu held

	mu   sync.Mutex // guards the rest
	size int        // of all forms
}

// A Key names an encoding, by its address.
type Key struct{ _ byte }

// A Form is a message, or a part of one, in one encoding. It is never changed.
type Form struct {
	of    *Forms
	key   *Key
	from  *Form // that it was made of, or nil
	bytes []byte
	next  *Form
}

// Form returns the encoding that key names, which is made by encode if there is none
// yet: once, even if many ask. What encode returns must not be changed afterwards.
func (f *Forms) Form(key *Key, encode func() []byte) *Form { return f.form(key, nil, encode) }

func (f *Forms) form(key *Key, from *Form, encode func() []byte) *Form {
	if e := f.find(key, from); e != nil {
		return e
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.find(key, from); e != nil {
		return e
	}
	e := &Form{of: f, key: key, from: from, bytes: encode(), next: f.first.Load()}
	f.size += len(e.bytes)
	if f.holders.Load() > 0 {
		Add(len(e.bytes))
	}
	f.first.Store(e)
	return e
}

func (f *Forms) find(key *Key, from *Form) *Form {
	for e := f.first.Load(); e != nil; e = e.next {
		if e.key == key && e.from == from {
			return e
		}
	}
	return nil
}

// Bytes is the form itself, which must not be changed.
func (e *Form) Bytes() []byte { return e.bytes }

// hold and release count a holder.
func (f *Forms) hold() {
	for n := f.holders.Load(); n > 0; n = f.holders.Load() {
		if f.holders.CompareAndSwap(n, n+1) {
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.holders.Add(1) == 1 {
		Add(f.size)
	}
}

func (f *Forms) release() {
	for n := f.holders.Load(); n > 1; n = f.holders.Load() {
		if f.holders.CompareAndSwap(n, n-1) {
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.holders.Add(-1) == 0 {
		Add(-f.size)
	}
}

// A Transform makes one form of another. It must treat each byte, or each run of them,
// in the same way wherever it stands: it is called for the pieces of a message one by
// one. It is known by its address.
type Transform struct {
	Append func(dst, src []byte) []byte
	key    Key
}

func (e *Form) transformed(by *Transform) *Form {
	return e.of.form(&by.key, e, func() []byte { return by.Append(nil, e.bytes) })
}
