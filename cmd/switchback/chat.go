package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"go.uber.org/zap"

	"switchback/handler/chat"
	"switchback/handler/history"
	"switchback/handler/stomp"
	"switchback/session"
)

// chatHandler is the name of the handler.
const chatHandler = "chat"

// chatSettings are the keys of a chat: the fields of chat.Options, and what it speaks.
func (e *endpointConfig) chatSettings() setting {
	keys := mapping(withFields(&e.chat, map[string]setting{
		"protocol": scalar(&e.chat.Protocol, kind[chat.Protocol]{"json or text", func(text string) (chat.Protocol, bool) {
			p, ok := map[string]chat.Protocol{"json": chat.JSON, "text": chat.Text}[text]
			return p, ok
		}}),
	}))
	return setting{want: keys.want, keys: keys.keys, read: func(s *source, key string, n ast.Node) {
		e.chatLine = line(n)
		keys.read(s, key, n)
	}}
}

// checkChat tells of settings of a chat where there is none.
func (e *endpointConfig) checkChat(s *source, key string) {
	if e.chatLine > 0 && e.handler != "" && e.handler != chatHandler {
		s.fault(e.chatLine, "%s.chat is of the handler chat, and not of %s", key, e.handler)
	}
	e.chatLine = 0
}

// openChat is the opener of a chat. Without auth its users are who the URL says.
func openChat(e *endpointConfig, from parts) (session.Opener, error) {
	mode := from.auth.config.mode(*e)
	if e.implementation != "switchback" && e.chat.Protocol == chat.JSON {
		return nil, fmt.Errorf("implementation %s does not know its users, which chat has to; take switchback, or protocol: text", e.implementation)
	}
	for path := range from.chats {
		if one, other := prefixOf(path)+"/", prefixOf(e.path)+"/"; strings.HasPrefix(one, other) || strings.HasPrefix(other, one) {
			return nil, fmt.Errorf("the path %s and that of the chat %s are one below the other, so that they would share rooms; choose others", e.path, path)
		}
	}
	o := e.chat
	o.Log, o.Path, o.Rules = from.history, e.path, from.rules
	c, err := chat.New(o)
	if err != nil {
		return nil, err
	}
	from.chats[e.path] = c
	if mode == authOff {
		return chat.ByURL(c), nil
	}
	return c, nil
}

// checkRooms tells of chats whose rooms are destinations of STOMP or topics of broadcasts, too:
// what is sent there would be kept as said in the room, or what is said in the room be heard
// there, whoever the room is for.
func (c *config) checkRooms(b *stomp.Broker) error {
	var errs []error
	all := c.allEndpoints()
	speaks := slices.ContainsFunc(all, func(e endpointConfig) bool { return e.handler == "stomp" })
	for _, e := range all {
		if e.handler != chatHandler {
			continue
		}
		sends := b.SendsBelow
		if e.chat.Protocol == chat.Text { // which has one
			sends = b.Sends
		}
		if speaks && sends(roomOf(&e, "")) {
			errs = append(errs, fmt.Errorf("%s: the rooms at %s are destinations of STOMP, too; choose another path, or other prefixes of stomp", e.where, e.path))
		}
		for _, other := range all {
			_, room := path.Split(other.path)
			if other.handler == "broadcast" && room != "" && other.path == roomOf(&e, room) {
				errs = append(errs, fmt.Errorf("%s: the path %s is that of a room of the chat %s, too; choose another", other.where, other.path, e.path))
			}
		}
	}
	return errors.Join(errs...)
}

// roomOf is the topic of a room of a chat, or a pattern for all of them.
func roomOf(e *endpointConfig, room string) string {
	if e.chat.Protocol == chat.Text { // which has one
		return e.path
	}
	return prefixOf(e.path) + "/" + room
}

// keepChats has the history keep what is said in chats that no policy names.
func (c *config) keepChats() {
	for _, e := range c.allEndpoints() {
		if e.handler != chatHandler {
			continue
		}
		rooms := roomOf(&e, "*")
		if e.chat.Protocol == chat.JSON && c.stomp.options.Separator == "." { // of which a name may have some
			rooms += ".**"
		}
		c.history.options.Policies = append(c.history.options.Policies, history.Policy{Topics: rooms})
	}
}

// warnOfChats tells once of chats where anybody may be anybody, but not of the demo's, which
// is for trying out.
func (c *config) warnOfChats(log *zap.Logger) {
	for _, e := range c.endpoints {
		if e.handler == chatHandler && e.chat.Protocol == chat.JSON && c.auth.mode(e) == authOff {
			log.Warn("users are who the URL says, ?user=NAME, so that anybody may be anybody; say in auth who may open sessions",
				zap.String("endpoint", e.where))
		}
	}
}
