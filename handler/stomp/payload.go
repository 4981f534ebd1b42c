package stomp

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"switchback/handler"
	"switchback/handler/stomp/frame"
)

// A Message is a payload with headers of its own. A content-type among them goes
// before that of the payload.
type Message struct {
	// ID is the message-id, for topics: at most 255 bytes without control characters. Where
	// one with the same was delivered on the topic in the last two minutes, and not more than
	// 65,536 since, it is left out: so it does no harm to send one again that an error was
	// returned for. The default is one of the broker's.
	ID      string
	Headers Headers
	Payload any
}

var errID = fmt.Errorf("stomp: the ID of a message has at most %d bytes, and no control characters", handler.MaxID)

// checkID returns an error for an ID that cannot be one.
func checkID(id string) error {
	if len(id) > handler.MaxID || strings.ContainsFunc(id, unicode.IsControl) {
		return errID
	}
	return nil
}

// Content types of payloads: Spring's.
const (
	TypeText   = "text/plain;charset=UTF-8"
	TypeJSON   = "application/json"
	TypeOctets = "application/octet-stream"
)

// encode returns a payload as headers and a body. The first header is for the
// destination.
func encode(payload any) (frame.Headers, []byte, error) {
	var m Message
	switch p := payload.(type) {
	case Message:
		m = p
	case *Message:
		if p != nil {
			m = *p
		}
	default:
		m.Payload = payload
	}
	if err := checkID(m.ID); err != nil {
		return nil, nil, err
	}
	own, payload := m.Headers, m.Payload
	contentType, body, err := EncodeBody(payload)
	h := frame.Headers{{Name: "destination"}}
	if _, ok := own.Lookup("content-type"); !ok && contentType != "" {
		h = append(h, frame.Header{Name: "content-type", Value: contentType})
	}
	if h = appendForwarded(h, own, ""); m.ID != "" { // which no sender can set otherwise
		h = append(h, frame.Header{Name: "message-id", Value: m.ID})
	}
	return h, body, err
}

// EncodeBody returns a payload, which is no Message, as messages have it: a string as
// text, bytes as octets, nil as no bytes of no type, and all else as JSON: a slice or map
// that is nil as an empty one, which JavaScript can go through. It is for those who
// implement Messenger.
func EncodeBody(payload any) (contentType string, body []byte, err error) {
	switch p := payload.(type) {
	case nil:
		return "", nil, nil
	case string:
		return TypeText, []byte(p), nil
	case []byte:
		return TypeOctets, p, nil
	case json.RawMessage:
		return TypeJSON, p, nil
	case json.Marshaler, encoding.TextMarshaler:
	default:
		if empty := emptyOf(payload); empty != "" {
			return TypeJSON, []byte(empty), nil
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(payload)
	return TypeJSON, bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// emptyOf returns the JSON of an empty slice or map for one that is nil.
func emptyOf(payload any) string {
	switch v := reflect.ValueOf(payload); {
	case v.Kind() == reflect.Slice && v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8: // bytes are a text in JSON
		return "[]"
	case v.Kind() == reflect.Map && v.IsNil():
		return "{}"
	}
	return ""
}
