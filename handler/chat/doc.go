// Package chat is rooms that remember: what is said in one is stored and goes to all who
// are there; who was not there finds it later, and how much of it is unread.
//
//	log, err := history.New(store, hub, history.Options{Policies: []history.Policy{{Topics: "/chat/*"}}})
//	c, err := chat.New(chat.Options{Log: log, Path: "/chat"})
//	endpoint, err := transport.NewEndpoint("/chat", chat.ByURL(c), transport.Options{})
//
// A client is whom its session's Identity names; [ByURL] has the URL name it, for trying out.
// Messages are JSON objects with a type, over any transport. What the client sends:
//
//	{"type":"join","room":"r","limit":50}               be in a room, from its last 50 messages on (default: 50)
//	{"type":"join","room":"r","since":"E/12"}           ... from what came after a position on
//	{"type":"message","room":"r","id":"c1","text":"."}  say something; sent again with the same id it is not stored again
//	{"type":"history","room":"r","before":"E/3","limit":50}  what was said before a position; without before, the last
//	{"type":"read","room":"r","offset":"E/12"}          all up to there is read
//	{"type":"typing","room":"r"}                        for those who are there; at most one a second goes out between two messages
//	{"type":"members","room":"r","after":"kim"}         who is there, after a name
//	{"type":"leave","room":"r"}                         be there no more; what is unread is counted still
//	{"type":"rooms","after":"r"}                        one's rooms, after a name
//	{"type":"create","room":"r"}                        make a room that is open to all
//	{"type":"create","room":"r","members":["lee"]}      ... a room for these and oneself alone
//	{"type":"create","members":["lee"]}                 ... a room of two, whose name is the same whoever of them makes it
//
// What it is sent:
//
//	{"type":"welcome","user":"kim","rooms":[{"room":"r","unread":3}]}         first; with "more":true there are more rooms
//	{"type":"joined","room":"r","offset":"E/12","members":["kim"],"messages":[...]}  who is there, and messages as they come live;
//	                                                    with "gap":true some since the position are not among them; with "more":true
//	                                                    more users are there
//	{"type":"message","room":"r","offset":"E/13","at":"2026-01-02T03:04:05.678Z","user":"kim","id":"c1","text":"."}
//	                                                    to all who are there, the sender too; with "gap":true some before it are missing
//	{"type":"ack","id":"c1","room":"r","offset":"E/13"} to the sender: it is stored. Who is in the room has got the message before
//	{"type":"history","room":"r","messages":[...]}      in the order in which they were said; with "more":true there are some before
//	{"type":"presence","room":"r","user":"kim","online":true}   somebody has come, with a first session, or gone, with the last
//	{"type":"unread","room":"r","count":3}              to all sessions of a user, where that has changed; up to 1,000. A room that is new is told so, too
//	{"type":"typing","room":"r","user":"kim"}           but to the session that is
//	{"type":"members","room":"r","members":["kim"]}     with "more":true there are more; "named" are those whom the room is for
//	{"type":"left","room":"r"}                          nothing of the room comes after it
//	{"type":"rooms","rooms":[{"room":"r","unread":3}]}  as in welcome
//	{"type":"created","room":"r"}                       to who has made it, who is not in it yet
//	{"type":"error","code":"unknown_room","text":"...","id":"c1"}   id is that of the request, which any may have
//
// The codes of errors are those of [Code].
//
// Offsets are positions, EPOCH/OFFSET, which clients give back as they are. After a
// connection was lost, a client joins its rooms again with the last position it has, and
// sends again what was not acknowledged, with the same ids: it then has every message once,
// in order. Where "gap" says that there is a hole, it asks for history.
//
// Where several nodes serve a chat, over an engine and one store, a room is the same on all of
// them: every client of every node gets its messages in one order, each once, hears who types,
// and is told of what is unread as it is read on any. Who is there, is on this node: joined,
// members and presence name no others. A message that another node stores just before one's own
// may hold up its ack, by 200 ms at most while the store answers.
//
// A room is open, or for its members alone: to others it is unknown. Whoever joins an open room
// is one of its members from then on, which means that what is said there while they are
// away is unread; as long as there are no more of them than may be. A room that does not exist is
// made, as an open one, by the first who joins it. The name of a room of two is @ and the two
// users, sorted, with a comma between; %, comma and slash are %25, %2C and %2F in it. No other
// begins with @.
//
// Who may do what, rules say: create, join, send (message, typing) and read (history, read, and
// the messages of joined) of the path, / and the room; and connect of a session. Messages that come
// live are what join is for.
//
// With [Text] there is one room, whose messages are texts as they are.
//
// chat.go has the endpoint, client.go a session, request.go and reply.go what is said
// between them; room.go has rooms, place.go a room as a session has it, unread.go its count;
// text.go is the other protocol, url.go who is asking.
package chat
