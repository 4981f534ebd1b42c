package memory

import "iter"

// Pieces are bytes in order: Bytes, with forms between them, which they hold. The zero
// Pieces is empty. They are used by one goroutine at a time, and not copied.
type Pieces struct {
	// Bytes are those that are no form's. To append to them is to append to the Pieces.
	Bytes []byte

	forms []placed // that are not gone
	size  int      // of those forms, but for what is gone
	gone  int      // of Bytes, from the front
	begun int      // bytes of the first form that are gone
}

// placed is a form, and how much of Bytes stands before it.
type placed struct {
	at   int
	form *Form
}

// placedSize is what a form costs who holds it beside the form itself, in bytes.
const placedSize = 32

// Len is the number of bytes.
func (p *Pieces) Len() int { return len(p.Bytes) - p.gone + p.size }

// Own is what the Pieces take beside the forms themselves, in bytes.
func (p *Pieces) Own() int { return len(p.Bytes) + placedSize*len(p.forms) }

// Alone is the part of the forms that is held for these Pieces: of one that several hold
// each has its part.
func (p *Pieces) Alone() (bytes int) {
	for _, f := range p.forms {
		bytes += len(f.form.bytes) / max(int(f.form.of.holders.Load()), 1)
	}
	return bytes
}

// plain tells whether there is no form: what is left of Bytes is all.
func (p *Pieces) plain() bool { return len(p.forms) == 0 }

// AppendForm appends a form and holds it.
func (p *Pieces) AppendForm(e *Form) {
	e.of.hold()
	p.place(e)
}

// place appends a form that is held already.
func (p *Pieces) place(e *Form) {
	p.forms = append(p.forms, placed{len(p.Bytes), e})
	p.size += len(e.bytes)
}

// each calls own for each run of Bytes and form for each form, in order. What is gone
// of the first form is not heeded.
func (p *Pieces) each(own func(run []byte), form func(e *Form)) {
	from := p.gone
	for _, f := range p.forms {
		if f.at > from {
			own(p.Bytes[from:f.at])
			from = f.at
		}
		form(f.form)
	}
	if len(p.Bytes) > from {
		own(p.Bytes[from:])
	}
}

// Move appends what q has and empties it, but for the capacity of its Bytes. Where some
// of q's first form is gone, p must be empty.
func (p *Pieces) Move(q *Pieces) {
	if q.plain() {
		p.Bytes = append(p.Bytes, q.Bytes[q.gone:]...)
		q.Bytes, q.gone = q.Bytes[:0], 0
		return
	}
	q.each(func(run []byte) { p.Bytes = append(p.Bytes, run...) }, p.place)
	if q.begun > 0 {
		p.begun = q.begun
		p.size -= q.begun
	}
	*q = Pieces{Bytes: q.Bytes[:0]}
}

// AppendTransformed appends what by makes of q, of which nothing is gone. Of a form it
// makes another, once for all who have it.
func (p *Pieces) AppendTransformed(q *Pieces, by *Transform) {
	q.each(func(run []byte) { p.Bytes = by.Append(p.Bytes, run) }, func(e *Form) { p.AppendForm(e.transformed(by)) })
}

// First returns the first run of bytes, and whether it is all there is. It is valid
// until the Pieces change.
func (p *Pieces) First() (run []byte, alone bool) {
	if len(p.forms) == 0 {
		return p.Bytes[p.gone:], true
	}
	f := p.forms[0]
	if f.at > p.gone {
		return p.Bytes[p.gone:f.at], false
	}
	run = f.form.bytes[p.begun:]
	return run, len(run) == p.Len()
}

// Buffers appends the runs of bytes to dst, as many as its capacity allows. They are
// valid until the Pieces change.
func (p *Pieces) Buffers(dst [][]byte) [][]byte {
	from, begun := p.gone, p.begun
	for _, f := range p.forms {
		if len(dst)+2 > cap(dst) {
			return dst
		}
		if f.at > from {
			dst = append(dst, p.Bytes[from:f.at])
			from = f.at
		}
		dst = append(dst, f.form.bytes[begun:])
		begun = 0
	}
	if len(p.Bytes) > from && len(dst) < cap(dst) {
		dst = append(dst, p.Bytes[from:])
	}
	return dst
}

// Chunks takes the bytes off, at most size of them at a time: those are valid until the
// next.
func (p *Pieces) Chunks(size int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var buf []byte
		for p.Len() > 0 {
			run, alone := p.First()
			if alone || len(run) >= size {
				run = run[:min(len(run), size)]
				if !yield(run) {
					return
				}
				p.Advance(len(run))
				continue
			}
			for buf = buf[:0]; len(buf) < size && p.Len() > 0; {
				run, _ := p.First()
				run = run[:min(len(run), size-len(buf))]
				buf = append(buf, run...)
				p.Advance(len(run))
			}
			if !yield(buf) {
				return
			}
		}
	}
}

// Advance takes n bytes off the front. Forms that are gone are not held any more.
func (p *Pieces) Advance(n int) {
	for n > 0 {
		end := len(p.Bytes)
		if len(p.forms) > 0 {
			end = p.forms[0].at
		}
		if run := min(n, end-p.gone); run > 0 {
			p.gone += run
			n -= run
			continue
		}
		e := p.forms[0].form
		run := min(n, len(e.bytes)-p.begun)
		p.begun += run
		p.size -= run
		n -= run
		if p.begun == len(e.bytes) {
			p.begun = 0
			p.forms[0] = placed{} // or the array would keep it
			p.forms = p.forms[1:]
			e.of.release()
		}
	}
}

// Reset empties the Pieces, and holds no form any more. The capacity of Bytes is kept.
func (p *Pieces) Reset() {
	if p.plain() {
		p.Bytes, p.gone = p.Bytes[:0], 0
		return
	}
	for _, f := range p.forms {
		f.form.of.release()
	}
	*p = Pieces{Bytes: p.Bytes[:0]}
}
