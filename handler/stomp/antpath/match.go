package antpath

import (
	"strings"
	"unicode/utf8"
)

// Match tells whether a path matches, and returns the values of the pattern's variables,
// in order: parts of path. It takes no longer than the product of the lengths.
func (p *Pattern) Match(path string) (values []string, ok bool) {
	if strings.HasPrefix(path, p.separator) != strings.HasPrefix(p.text, p.separator) {
		return nil, false
	}
	var memory [16]string
	parts := split(memory[:0], path, p.separator)
	ends := strings.HasSuffix(path, p.separator)
	last := len(p.segments) - 1
	if last < 0 || p.segments[last].kind == deep || ends == strings.HasSuffix(p.text, p.separator) {
		return matchSegments(p.segments, parts)
	}
	if ends && p.segments[last].kind == glob && p.segments[last].text == "*" { // an empty last segment
		return matchSegments(p.segments[:last], parts)
	}
	return nil, false
}

// split appends the segments of a path that are not empty.
func split(dst []string, path, separator string) []string {
	for part := range strings.SplitSeq(path, separator) {
		if part != "" {
			dst = append(dst, part)
		}
	}
	return dst
}

// matchSegments goes back no further than to the last ** that it met, so it is
// done in the product of the lengths.
func matchSegments(segments []segment, parts []string) (values []string, ok bool) {
	i, j := 0, 0
	back, from, kept := -1, 0, 0
	for j < len(parts) {
		switch {
		case i < len(segments) && segments[i].kind == deep:
			back, from, kept = i, j, len(values)
			i++
			continue
		case i < len(segments):
			if v, ok := segments[i].match(values, parts[j]); ok {
				values = v
				i++
				j++
				continue
			}
		}
		if back < 0 {
			return nil, false
		}
		from++
		i, j, values = back+1, from, values[:kept]
	}
	for i < len(segments) && segments[i].kind == deep {
		i++
	}
	return values, i == len(segments)
}

// match appends the values of the segment's variables.
func (s *segment) match(values []string, part string) ([]string, bool) {
	switch s.kind {
	case literal:
		return values, s.text == part
	case glob:
		return values, matchGlob(s.text, part)
	case variable:
		return append(values, part), true
	}
	found := s.regex.FindStringSubmatch(part)
	if found == nil {
		return values, false
	}
	for _, group := range s.groups {
		values = append(values, found[s.regex.SubexpIndex(group)])
	}
	return values, true
}

// matchGlob matches text with ? and *. Like matchSegments it goes back to the
// last * only.
func matchGlob(glob, s string) bool {
	i, j := 0, 0
	back, from := -1, 0
	for j < len(s) {
		switch {
		case i < len(glob) && glob[i] == '*':
			back, from = i, j
			i++
			continue
		case i < len(glob) && glob[i] == '?':
			_, size := utf8.DecodeRuneInString(s[j:])
			i++
			j += size
			continue
		case i < len(glob) && glob[i] == s[j]:
			i++
			j++
			continue
		}
		if back < 0 {
			return false
		}
		_, size := utf8.DecodeRuneInString(s[from:])
		from += size
		i, j = back+1, from
	}
	for i < len(glob) && glob[i] == '*' {
		i++
	}
	return i == len(glob)
}
