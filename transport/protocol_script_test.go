package transport_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A script is one case of the protocol, in testdata/protocol: lines that are
// played from the first to the last against a server. Lines that begin with #
// are for the reader; a script begins with one. A line belongs to the line
// above it that is indented four spaces less.
//
// What is sent:
//
//	POST /echo/000/$session/xhr    a request, on a connection of its own; the
//	    Origin: test               lines below are its headers and its body
//	    body `["x"]`
//	GET /echo HTTP/1.0             the same, of an older client
//	websocket /echo/websocket      the handshake of RFC 6455, checked
//	send text TEXT                 a WebSocket message
//	send bytes TEXT                bytes as they are
//	send close 1000                a WebSocket close frame
//	abort                          closes the connection
//
// What must come:
//
//	status 204 or 200
//	header NAME is VALUE           also: is not VALUE, matches REGEXP, absent, present
//	json NAME is VALUE             a member of the body, as JSON; also: is not, matches
//	body TEXT or TEXT              all of it, and the end of the response
//	body contains TEXT             also: trimmed TEXT, without the white space
//	                               around the body; any
//	message TEXT                   the body is one message frame that holds TEXT
//	chunk TEXT or TEXT             one chunk
//	chunk padded past 1024 TEXT    one chunk of more bytes: TEXT in white space
//	bytes TEXT                     bytes of a response that has no length, or
//	                               that come after an upgrade
//	end                            the end of the response
//	text TEXT                      a WebSocket message
//	close 3000 "Go away!"          a WebSocket close frame
//	closed                         the end of a WebSocket connection, with a close
//	                               frame (which is answered) or without
//	eof                            the server has closed the connection
//
// What is in charge of the lines below it:
//
//	on NAME                        they are about the connection of this name, which
//	                               stays open and takes requests one after another
//	for $x in a "b c"              once with each value
//	repeat 31                      so often
//	within 2s                      again and again until they pass, at most so long
//	when header NAME ...           only where that holds
//	ours                           only for our own implementation, which promises more than
//	                               the protocol asks
//
// And: wait 250ms; let $x header NAME (or: json NAME, find REGEXP with a group).
//
// A TEXT is one or more Go string literals, 128*"x" for repetition and
// variables. Lines below it that begin with | are a TEXT too: the lines, with
// newlines between them. Variables are also put into paths and values. Given
// are $session and $other, fresh session ids; $host, the server's address;
// and those of newVariables.
//
// How an implementation differs is said in the script:
//
//	implementation igm
//	    fails at header Cache-Control because no-transform is missing
//	    flickers because the finished poll is detached too late
//
// Then the case must fail on that implementation, at a line that begins so; or must
// pass once in several tries.
type script struct {
	file        string
	steps       []*step
	differences map[string]difference
}

// A step is one line of a script.
type step struct {
	line  int
	text  string
	below []*step
}

// A difference is what an implementation does otherwise.
type difference struct {
	failsAt  string // the beginning of the step
	reason   string // that it does
	flickers bool
}

// loadScripts reads the scripts of testdata/protocol, by the name of the case.
func loadScripts() (map[string]*script, error) {
	files, err := filepath.Glob(filepath.Join("..", "testdata", "protocol", "*.txt"))
	if err != nil {
		return nil, err
	}
	scripts := make(map[string]*script)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if scripts[name], err = parseScript(filepath.Base(file), string(source)); err != nil {
			return nil, err
		}
	}
	return scripts, nil
}

func parseScript(file, source string) (*script, error) {
	sc := &script{file: file, differences: make(map[string]difference)}
	if !strings.HasPrefix(source, "# ") {
		return nil, fmt.Errorf("%s: does not begin with what it is about", file)
	}
	steps, err := parseSteps(source)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	for _, s := range steps {
		implementation, ok := strings.CutPrefix(s.text, "implementation ")
		if !ok {
			sc.steps = append(sc.steps, s)
			continue
		}
		if sc.differences[implementation], err = parseDifference(s.below); err != nil {
			return nil, fmt.Errorf("%s:%w", file, err)
		}
	}
	if len(sc.steps) == 0 {
		return nil, fmt.Errorf("%s: has no steps", file)
	}
	return sc, nil
}

// parseSteps makes a tree of lines by their indentation.
func parseSteps(source string) ([]*step, error) {
	var top []*step
	lists := []*[]*step{&top} // the list that a line of each depth joins
	for i, line := range strings.Split(source, "\n") {
		text := strings.TrimLeft(line, " ")
		if text == "" || text[0] == '#' {
			continue
		}
		indent := len(line) - len(text)
		depth := indent / 4
		if indent%4 != 0 || depth >= len(lists) {
			return nil, fmt.Errorf("%d: bad indentation", i+1)
		}
		s := &step{line: i + 1, text: text}
		*lists[depth] = append(*lists[depth], s)
		lists = append(lists[:depth+1], &s.below)
	}
	return top, nil
}

func parseDifference(lines []*step) (d difference, err error) {
	for _, s := range lines {
		what, reason, ok := strings.Cut(s.text, " because ")
		if !ok {
			return d, fmt.Errorf("%d: no reason", s.line)
		}
		failsAt, fails := strings.CutPrefix(what, "fails at ")
		switch {
		case fails:
			d.failsAt, d.reason = failsAt, reason
		case what == "flickers":
			d.flickers = true
		default:
			return d, fmt.Errorf("%d: neither fails at nor flickers", s.line)
		}
	}
	return d, nil
}
