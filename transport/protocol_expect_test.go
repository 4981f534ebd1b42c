package transport_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// response is that of the last request; its head is read when it is first
// asked for.
func (p *player) response(s *step) (*response, error) {
	l := p.link
	if l == nil || l.asked == nil {
		return nil, errors.New("no request")
	}
	if l.res == nil {
		res, err := readResponse(l.r, l.method, l.version)
		if err != nil {
			return nil, p.fail(s, "a response", err.Error())
		}
		l.res = res
	}
	return l.res, nil
}

// one demands that got is one of the texts of arg.
func (p *player) one(s *step, arg, got string, err error) error {
	texts, mistake := p.vars.texts(s, arg)
	if mistake != nil {
		return mistake
	}
	var want []string
	for _, text := range texts {
		want = append(want, strconv.Quote(text))
	}
	switch {
	case err != nil:
		return p.failed(s, strings.Join(want, " or "), got, err)
	case !slices.Contains(texts, got):
		return p.fail(s, strings.Join(want, " or "), strconv.Quote(got))
	}
	return nil
}

// compare demands that a value is related to another as arg says.
func (p *player) compare(s *step, arg, got string) error {
	relation, value, _ := strings.Cut(arg, " ")
	if negated, ok := strings.CutPrefix(value, "not "); ok && relation == "is" {
		relation, value = "is not", negated
	}
	value, err := p.vars.expand(value)
	if err != nil {
		return err
	}
	var ok bool
	switch relation {
	case "is":
		ok = got == value
	case "is not":
		ok = got != value
	case "matches":
		ok, err = regexp.MatchString(value, got)
	default:
		return fmt.Errorf("unknown relation %s", relation)
	}
	if err != nil || ok {
		return err
	}
	return p.fail(s, relation+" "+value, got)
}

func (p *player) status(s *step, arg string) error {
	res, err := p.response(s)
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Split(arg, " or "), strconv.Itoa(res.status)) {
		body, _ := res.all()
		return p.fail(s, arg, fmt.Sprintf("%d with the body %q", res.status, body))
	}
	return nil
}

func (p *player) header(s *step, arg string) error {
	res, err := p.response(s)
	if err != nil {
		return err
	}
	name, relation, _ := strings.Cut(arg, " ")
	values, present := res.header[strings.ToLower(name)]
	switch {
	case relation == "present" || relation == "absent":
		if present != (relation == "present") {
			return p.fail(s, relation, fmt.Sprintf("%q", values))
		}
		return nil
	case len(values) > 1 && !strings.HasPrefix(relation, "matches"):
		return p.fail(s, "one header line", fmt.Sprintf("%q", values))
	}
	return p.compare(s, relation, res.field(name))
}

func (p *player) json(s *step, arg string) error {
	name, relation, _ := strings.Cut(arg, " ")
	value, err := p.member(s, name)
	if err != nil {
		return err
	}
	return p.compare(s, relation, value)
}

// member is a value of the JSON object that the body must be.
func (p *player) member(s *step, name string) (string, error) {
	res, err := p.response(s)
	if err != nil {
		return "", err
	}
	var object map[string]json.RawMessage
	body, err := res.all()
	if err == nil {
		err = json.Unmarshal([]byte(body), &object)
	}
	if err != nil {
		return "", p.failed(s, "a JSON object", body, err)
	}
	return string(object[name]), nil
}

func (p *player) body(s *step, arg string) error {
	res, err := p.response(s)
	if err != nil {
		return err
	}
	got, err := res.all()
	kind, part, _ := strings.Cut(arg, " ")
	switch {
	case kind == "any" && err == nil:
		return nil
	case kind == "any":
		return p.failed(s, "a body", got, err)
	case kind == "contains":
		return p.contains(s, part, got, err)
	case kind == "trimmed":
		return p.one(s, part, strings.TrimSpace(got), err)
	}
	return p.one(s, arg, got, err)
}

func (p *player) contains(s *step, arg, got string, err error) error {
	part, mistake := p.vars.text(s, arg)
	switch {
	case mistake != nil:
		return mistake
	case err != nil:
		return p.failed(s, strconv.Quote(part), got, err)
	case !strings.Contains(got, part):
		return p.fail(s, strconv.Quote(part), strconv.Quote(got))
	}
	return nil
}

// message demands a poll's body with one message, however that is escaped.
func (p *player) message(s *step, arg string) error {
	text, err := p.vars.text(s, arg)
	if err != nil {
		return err
	}
	res, err := p.response(s)
	if err != nil {
		return err
	}
	var texts []string
	got, err := res.all()
	if err == nil {
		err = json.Unmarshal([]byte(strings.TrimPrefix(got, "a")), &texts)
	}
	switch {
	case err != nil:
		return p.failed(s, strconv.Quote(text), got, err)
	case !strings.HasPrefix(got, "a[") || !slices.Equal(texts, []string{text}):
		return p.fail(s, strconv.Quote(text), strconv.Quote(got))
	}
	return nil
}

func (p *player) chunk(s *step, arg string) error {
	res, err := p.response(s)
	if err != nil {
		return err
	}
	got, err := res.chunk()
	padded, ok := strings.CutPrefix(arg, "padded past ")
	if !ok {
		return p.one(s, arg, got, err)
	}
	number, arg, _ := strings.Cut(padded, " ")
	least, mistake := strconv.Atoi(number)
	if mistake != nil {
		return mistake
	}
	if err == nil && len(got) <= least {
		err = fmt.Errorf("the end after %d bytes", len(got))
	}
	return p.one(s, arg, strings.TrimSpace(got), err)
}

func (p *player) bytes(s *step, arg string) error {
	res, err := p.response(s)
	if err != nil {
		return err
	}
	text, err := p.vars.text(s, arg)
	if err != nil {
		return err
	}
	if res.status == 101 {
		got := make([]byte, len(text))
		n, err := io.ReadFull(p.link.r, got)
		return p.one(s, arg, string(got[:n]), err)
	}
	got, err := res.bytes(len(text))
	return p.one(s, arg, got, err)
}

func (p *player) end(s *step, _ string) error {
	res, err := p.response(s)
	if err != nil {
		return err
	}
	got, err := res.end()
	switch {
	case err != nil:
		return p.failed(s, "the end", got, err)
	case got != "":
		return p.fail(s, "the end", strconv.Quote(got))
	}
	return nil
}

func (p *player) eof(s *step, _ string) error {
	if p.link == nil {
		return errors.New("no connection")
	}
	_, err := p.link.r.Peek(1)
	if err == nil {
		got, _ := p.link.r.Peek(p.link.r.Buffered())
		return p.fail(s, "EOF", strconv.Quote(string(got)))
	}
	if !errors.Is(err, io.EOF) {
		return p.fail(s, "EOF", err.Error())
	}
	return nil
}
