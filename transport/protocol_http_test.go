package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// A response is an HTTP response that is read strictly: what net/http would
// forgive is an error here (RFC 9112).
type response struct {
	status int
	header map[string][]string // by lower-case name
	ended  bool                // all of it has been read

	r       *bufio.Reader
	chunked bool
	left    int // bytes of the body to come; negative: until the end of the connection
	body    []byte
}

// untilEOF is the length of a body that ends with its connection.
const untilEOF = -1

var (
	statusLine = regexp.MustCompile(`^HTTP/1\.[01] ([1-5][0-9][0-9]) [^\r\n]*$`)
	headerLine = regexp.MustCompile("^([!#$%&'*+\\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*$")
	chunkLine  = regexp.MustCompile(`^[0-9A-Fa-f]{1,7}$`)
)

// readResponse reads the head of a response to a request of that method and
// version ("HTTP/1.1").
func readResponse(r *bufio.Reader, method, version string) (*response, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	match := statusLine.FindStringSubmatch(line)
	if match == nil {
		return nil, fmt.Errorf("bad status line %q", line)
	}
	res := &response{r: r, header: make(map[string][]string)}
	res.status, _ = strconv.Atoi(match[1])
	if version == "HTTP/1.1" && !strings.HasPrefix(line, version) {
		return nil, fmt.Errorf("an older status line, %q", line)
	}
	if err := res.readHeader(); err != nil {
		return nil, err
	}
	return res, res.frame(method, version)
}

func (res *response) readHeader() error {
	for {
		line, err := readLine(res.r)
		if err != nil || line == "" {
			return err
		}
		match := headerLine.FindStringSubmatch(line)
		if match == nil {
			return fmt.Errorf("bad header line %q", line)
		}
		name := strings.ToLower(match[1])
		res.header[name] = append(res.header[name], match[2])
	}
}

// frame finds out where the body ends (RFC 9112, section 6.3).
func (res *response) frame(method, version string) error {
	coding, length := res.header["transfer-encoding"], res.header["content-length"]
	bodiless := res.status < 200 || res.status == 204
	switch {
	case bodiless && len(coding)+len(length) > 0:
		return fmt.Errorf("status %d with a body's length or coding", res.status)
	case len(coding) > 0 && len(length) > 0:
		return errors.New("both Transfer-Encoding and Content-Length")
	case len(coding) > 0 && version != "HTTP/1.1":
		return errors.New("Transfer-Encoding for a client of HTTP/1.0")
	case bodiless, method == "HEAD", res.status == 304:
		res.ended = true
		return nil
	case len(coding) > 0:
		res.chunked = true
		return only(coding, "chunked")
	case len(length) > 0:
		return res.setLength(length)
	}
	res.left = untilEOF
	if version == "HTTP/1.1" {
		return only(res.header["connection"], "close")
	}
	return nil
}

func (res *response) setLength(values []string) error {
	if len(values) != 1 || !isNumber(values[0]) || len(values[0]) > 8 {
		return fmt.Errorf("bad Content-Length %q", values)
	}
	res.left, _ = strconv.Atoi(values[0])
	res.ended = res.left == 0
	return nil
}

func only(values []string, want string) error {
	if len(values) != 1 || !strings.EqualFold(values[0], want) {
		return fmt.Errorf("the end of the body is not known: %q is not %q", values, want)
	}
	return nil
}

// chunk reads the next chunk, which is empty at the end of the response.
func (res *response) chunk() (string, error) {
	if !res.chunked {
		return "", errors.New("the response is not chunked")
	}
	if res.ended {
		return "", errors.New("the response has ended")
	}
	line, err := readLine(res.r)
	if err != nil {
		return "", err
	}
	if !chunkLine.MatchString(line) {
		return "", fmt.Errorf("bad chunk size %q", line)
	}
	size, _ := strconv.ParseUint(line, 16, 31)
	data := make([]byte, size+2)
	if n, err := io.ReadFull(res.r, data); err != nil {
		return string(data[:n]), err
	}
	res.ended = size == 0
	if end := string(data[size:]); end != "\r\n" {
		return string(data[:size]), fmt.Errorf("%q after a chunk", end)
	}
	return string(data[:size]), nil
}

// bytes reads the next n bytes of a body that is not chunked.
func (res *response) bytes(n int) (string, error) {
	if res.chunked || res.ended || res.left >= 0 && n > res.left {
		return "", fmt.Errorf("no %d bytes more to come", n)
	}
	data := make([]byte, n)
	got, err := io.ReadFull(res.r, data)
	if res.left >= 0 {
		res.left -= got
		res.ended = res.left == 0
	}
	return string(data[:got]), err
}

// end reads the end of the response, which must come next.
func (res *response) end() (string, error) {
	switch {
	case res.ended:
		return "", nil
	case res.chunked:
		return res.chunk()
	case res.left >= 0:
		return "", fmt.Errorf("%d bytes are left", res.left)
	}
	rest, err := io.ReadAll(res.r)
	res.ended = err == nil
	return string(rest), err
}

// all reads the whole body, or what has not been read of it.
func (res *response) all() (string, error) {
	for !res.ended {
		part, err := res.more()
		res.body = append(res.body, part...)
		if err != nil {
			return string(res.body), err
		}
	}
	return string(res.body), nil
}

func (res *response) more() (string, error) {
	switch {
	case res.chunked:
		return res.chunk()
	case res.left >= 0:
		return res.bytes(res.left)
	}
	return res.end()
}

// readLine reads a line without the CR LF that must end it.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%q and then %w", line, err)
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return "", fmt.Errorf("a line without CR: %q", line)
	}
	return text, nil
}

// field is the value of a header; several are joined as one list.
func (res *response) field(name string) string {
	return strings.Join(res.header[strings.ToLower(name)], ", ")
}
