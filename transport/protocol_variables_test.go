package transport_test

import (
	"crypto/rand"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// variables are what $name stands for.
type variables map[string]string

func newVariables(host string) variables {
	v := variables{"host": host, "session": randomID(), "other": randomID()}
	maps.Copy(v, generated())
	return v
}

var variablePattern = regexp.MustCompile(`\$[a-z]+`)

// expand puts variables into a line.
func (v variables) expand(s string) (string, error) {
	var unknown error
	expanded := variablePattern.ReplaceAllStringFunc(s, func(name string) string {
		value, ok := v[name[1:]]
		if !ok {
			unknown = fmt.Errorf("unknown variable %s", name)
		}
		return value
	})
	return expanded, unknown
}

// text is the TEXT of arg, or of the lines below s.
func (v variables) text(s *step, arg string) (string, error) {
	texts, err := v.texts(s, arg)
	if err == nil && len(texts) != 1 {
		err = fmt.Errorf("one text is needed, not %d", len(texts))
	}
	if err != nil {
		return "", err
	}
	return texts[0], nil
}

// texts are those of a TEXT { or TEXT }.
func (v variables) texts(s *step, arg string) ([]string, error) {
	if arg == "" && len(s.below) > 0 {
		text, err := v.block(s.below)
		return []string{text}, err
	}
	items, err := splitItems(arg)
	if err != nil {
		return nil, err
	}
	texts := []string{""}
	for i, item := range items {
		if item == "or" && i > 0 && i < len(items)-1 {
			texts = append(texts, "")
			continue
		}
		part, err := v.item(item)
		if err != nil {
			return nil, err
		}
		texts[len(texts)-1] += part
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("a text is needed")
	}
	return texts, nil
}

// block is the text of lines that begin with |.
func (v variables) block(lines []*step) (string, error) {
	var text []string
	for _, s := range lines {
		line, ok := strings.CutPrefix(s.text, "|")
		if !ok {
			return "", fmt.Errorf("line %d does not begin with |", s.line)
		}
		text = append(text, strings.TrimPrefix(line, " "))
	}
	return v.expand(strings.Join(text, "\n"))
}

// item is the value of a literal, of a repetition of one, or of a variable.
func (v variables) item(item string) (string, error) {
	if item[0] == '$' {
		return v.expand(item)
	}
	count := 1
	if n, literal, ok := strings.Cut(item, "*"); ok && isNumber(n) {
		count, _ = strconv.Atoi(n)
		item = literal
	}
	text, err := strconv.Unquote(item)
	if err != nil {
		return "", fmt.Errorf("not a text: %s", item)
	}
	return strings.Repeat(text, count), nil
}

var itemPattern = regexp.MustCompile("^(?:[0-9]+\\*)?[\"`]")

// splitItems cuts a line at its spaces, except at those in string literals.
func splitItems(s string) ([]string, error) {
	var items []string
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		size := strings.IndexByte(s+" ", ' ')
		if at := itemPattern.FindStringIndex(s); at != nil {
			literal, err := strconv.QuotedPrefix(s[at[1]-1:])
			if err != nil {
				return nil, fmt.Errorf("bad literal: %s", s)
			}
			size = at[1] - 1 + len(literal)
		}
		items = append(items, s[:size])
		s = s[size:]
	}
	return items, nil
}

func isNumber(s string) bool {
	return s != "" && !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < '0' || c > '9' })
}

func randomID() string { return "s" + strings.ToLower(rand.Text()) }

// generated are variables with more characters than fit a line:
//
//	$escapable  characters that some browser garbles and a server must therefore
//	            send escaped, but for those that JSON escapes in any case
//	$escaped    the same, as the server sends them
//	$everything every character from U+0000 to U+FFFF
//	$encoded    the same, every one of them escaped
var generated = sync.OnceValue(func() variables {
	var escapable, escaped, everything, encoded strings.Builder
	for c := rune(0); c <= 0xffff; c++ {
		if c >= 0xd800 && c <= 0xdfff {
			continue // a half of a character
		}
		everything.WriteRune(c)
		fmt.Fprintf(&encoded, `\u%04x`, c)
		if mangled(c) {
			escapable.WriteRune(c)
			fmt.Fprintf(&escaped, `\u%04x`, c)
		}
	}
	return variables{
		"escapable":  escapable.String(),
		"escaped":    escaped.String(),
		"everything": everything.String(),
		"encoded":    encoded.String(),
	}
})

func mangled(c rune) bool {
	return c >= 0x200c && c <= 0x200f || c >= 0x2028 && c <= 0x202f ||
		c >= 0x2060 && c <= 0x206f || c >= 0xfff0
}
