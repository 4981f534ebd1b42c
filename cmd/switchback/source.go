package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A source is a YAML file while it is read. It collects everything that is
// wrong, so that one run tells it all.
type source struct {
	name    string
	anchors map[string]ast.Node // those read so far
	faults  []fault
}

// A fault is what is wrong in a line.
type fault struct {
	line int
	text string
}

// A setting is what one node of the file may be, and where it goes. key is the
// node's place in the file, for messages.
type setting struct {
	want     string
	required bool
	read     func(s *source, key string, n ast.Node)
	keys     map[string]setting // of a mapping
}

// required is a setting that the mapping must have.
func required(set setting) setting {
	set.required = true
	return set
}

// rootKey stands for the key that the whole file does not have.
const rootKey = "the file"

// readYAML reads a file's text with root. The error has a line for each fault:
// file, line, key, and what the value may be.
func readYAML(name string, text []byte, root setting) error {
	s := &source{name: name, anchors: map[string]ast.Node{}}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return s.syntaxError(err, text)
	}
	for i, body := range documents(file) {
		if i > 0 {
			s.fault(line(body), "a second document begins here; the file must hold one")
			break
		}
		s.read(rootKey, body, root)
	}
	return s.err()
}

// documents are those that hold something: neither comments nor directives.
func documents(file *ast.File) []ast.Node {
	var bodies []ast.Node
	for _, d := range file.Docs {
		switch d.Body.(type) {
		case nil, *ast.CommentGroupNode, *ast.DirectiveNode:
		default:
			bodies = append(bodies, d.Body)
		}
	}
	return bodies
}

// read hands a node to its setting. It follows an alias to the value of its
// anchor, which must be complete before: so a value never holds itself.
func (s *source) read(key string, n ast.Node, set setting) {
	switch n := n.(type) {
	case *ast.AnchorNode:
		s.read(key, n.Value, set)
		s.anchors[n.Name.String()] = n.Value
	case *ast.AliasNode:
		s.readAlias(key, n, set)
	default:
		set.read(s, key, n)
	}
}

func (s *source) readAlias(key string, n *ast.AliasNode, set setting) {
	name := n.Value.String()
	if value, found := s.anchors[name]; found {
		set.read(s, key, value)
		return
	}
	s.fault(line(n), "%s is the alias *%s, which no anchor before it defines; %s", key, name, starHint)
}

const starHint = `a value that begins with * must be in quotes, such as "*"`

// scalar is a single value.
func scalar[T any](dst *T, k kind[T]) setting {
	return setting{want: k.want, read: func(s *source, key string, n ast.Node) {
		if text, ok := scalarText(n); ok {
			if value, ok := k.parse(text); ok {
				*dst = value
				return
			}
		}
		s.mismatch(key, n, k.want)
	}}
}

// pointer is a single value whose absence matters: *dst stays nil without it.
func pointer[T any](dst **T, k kind[T]) setting {
	value := new(T)
	set := scalar(value, k)
	return setting{want: k.want, read: func(s *source, key string, n ast.Node) {
		set.read(s, key, n)
		*dst = value
	}}
}

// list is a list of single values. One that is empty is not nil: it is none, and
// not the default.
func list[T any](dst *[]T, k kind[T]) setting {
	items := sequence("a list, each item "+k.want, func(s *source, key string, n ast.Node) {
		var item T
		s.read(key, n, scalar(&item, k))
		*dst = append(*dst, item)
	})
	return setting{want: items.want, read: func(s *source, key string, n ast.Node) {
		*dst = []T{}
		items.read(s, key, n)
	}}
}

// oneOrMore is a single value, or a list of some, each of which add gets with its place.
func oneOrMore[T any](k kind[T], add func(value T, at place)) setting {
	each := func(k kind[T]) func(*source, string, ast.Node) {
		return func(s *source, key string, n ast.Node) {
			var value T
			before := len(s.faults)
			if s.read(key, n, scalar(&value, k)); len(s.faults) == before {
				add(value, place{line(n), key})
			}
		}
	}
	want := k.want + ", or a list of those"
	return setting{want: want, read: func(s *source, key string, n ast.Node) {
		list, ok := n.(*ast.SequenceNode)
		switch {
		case ok && len(list.Values) == 0:
			s.fault(line(n), "%s is empty; it must be %s", key, want)
		case ok:
			sequence("", each(k)).read(s, key, n)
		default:
			each(kind[T]{want, k.parse})(s, key, n)
		}
	}}
}

// sequence is a list; item reads each of its nodes.
func sequence(want string, item func(s *source, key string, n ast.Node)) setting {
	return setting{want: want, read: func(s *source, key string, n ast.Node) {
		items, ok := n.(*ast.SequenceNode)
		if !ok {
			s.mismatch(key, n, want)
			return
		}
		for i, v := range items.Values {
			item(s, fmt.Sprintf("%s[%d]", key, i), v)
		}
	}}
}

// mapping is keys with a setting each.
func mapping(settings map[string]setting) setting {
	return setting{want: "keys and values (" + keysOf(settings) + ")", keys: settings, read: func(s *source, key string, n ast.Node) {
		given := map[string]bool{}
		if !s.readEntries(key, n, settings, given) {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			if settings[name].required && !given[name] {
				s.fault(line(n), "%s is missing; it must be %s", join(key, name), settings[name].want)
			}
		}
	}}
}

// readEntries reads the keys of a mapping that given does not have yet: first
// its own, then those of the mappings that it merges (<<). It is false for
// what is no mapping.
func (s *source) readEntries(key string, n ast.Node, settings map[string]setting, given map[string]bool) bool {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		s.mismatch(key, n, mapping(settings).want)
		return false
	}
	lines := map[string]int{}
	for _, entry := range m.Values {
		if !entry.Key.IsMergeKey() {
			s.readEntry(key, entry, settings, given, lines)
		}
	}
	for name := range lines {
		given[name] = true
	}
	for _, entry := range m.Values {
		if entry.Key.IsMergeKey() {
			s.read(key, entry.Value, setting{read: func(s *source, key string, n ast.Node) {
				s.readEntries(key, n, settings, given)
			}})
		}
	}
	return true
}

// readEntry reads one key of a mapping. lines has the mapping's keys before it.
func (s *source) readEntry(parent string, e *ast.MappingValueNode, settings map[string]setting, given map[string]bool, lines map[string]int) {
	name := e.Key.GetToken().Value
	key := join(parent, name)
	set := settings[name]
	first, again := lines[name]
	switch {
	case set.read == nil:
		s.fault(line(e.Key), "%s is not a known key; %s", key, suggest(name, settings))
		return
	case again:
		s.fault(line(e.Key), "%s was already given in line %d", key, first)
		return
	}
	lines[name] = line(e.Key)
	if !given[name] {
		s.read(key, e.Value, set)
	}
}

func (s *source) mismatch(key string, n ast.Node, want string) {
	is := describe(n)
	if _, ok := scalarText(n); ok && key == rootKey {
		is = "is one text" // which may be a secret: another file of the folder
	}
	s.fault(line(n), "%s %s; it must be %s", key, is, want)
}

// fault keeps what is wrong, in one line whatever the file's keys hold.
func (s *source) fault(line int, format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`)
	s.faults = append(s.faults, fault{line, text})
}

// err is what was wrong, in the order of the file, or nil.
func (s *source) err() error {
	slices.SortStableFunc(s.faults, func(a, b fault) int { return cmp.Compare(a.line, b.line) })
	var errs []error
	for _, f := range s.faults {
		errs = append(errs, fmt.Errorf("%s:%d: %s", s.name, f.line, f.text))
	}
	return errors.Join(errs...)
}

// syntaxError is the parser's error as a fault. The mistake that is made most
// gets a hint: * without quotes is an alias to YAML.
func (s *source) syntaxError(err error, text []byte) error {
	var e yaml.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	at, message := e.GetToken().Position.Line, e.GetMessage()
	lines := strings.Split(string(text), "\n")
	if at >= 1 && at <= len(lines) && strings.Contains(lines[at-1], "*") {
		message += "; " + starHint
	}
	s.fault(at, "%s", message)
	return s.err()
}

func line(n ast.Node) int { return n.GetToken().Position.Line }

// scalarText is the text of a single value; quotes make no difference.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// describe says what a node is that is not what it should be.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.NullNode:
		return "has no value"
	case *ast.SequenceNode:
		return "is a list"
	case *ast.MappingNode:
		return "has keys of its own"
	}
	if text, ok := scalarText(n); ok {
		return fmt.Sprintf("is %q", text)
	}
	return "is no plain value"
}

// join is the place of a key in the file.
func join(parent, name string) string {
	if parent == rootKey {
		return name
	}
	return parent + "." + name
}
