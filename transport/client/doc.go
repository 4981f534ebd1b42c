// Package client is a SockJS client. It opens sessions as sockjs-client does:
// it asks /info, tries the transports in turn until one opens, and then carries
// messages over it.
//
//	c, err := client.Dial(ctx, "http://127.0.0.1:8081/echo", client.Options{})
//	...
//	err = c.Send([]byte("hello"))
//	text, err := c.Recv(ctx)
//
// A [Conn] is made to be one of tens of thousands in a process. It reads on the
// goroutine that calls [Conn.Recv], so it has none of its own while it is quiet,
// and it borrows its buffers only while there is something in them. What a
// stream or a poll costs then is what net/http needs for it.
//
// The other side of it: a session is served while Recv waits. That is when
// polls are sent, heartbeats and pings are answered and the end is noticed. A
// server gives up a polling session that nobody receives from after its
// disconnect delay, commonly 5 seconds, and a WebSocket when a ping stays
// unanswered. So a program receives even if it only sends, and one that is busy
// for long with each message receives in a goroutine of its own.
//
// From a Conn down:
//
//	Conn        dial.go opens it, with info.go; conn.go has what is received and not
//	            taken, frames.go open, message and close frames, buffer.go its memory
//	transport   websocket.go, with handshake.go; http.go, with xhr.go or eventsource.go
//	            to read the frames, lines.go their lines, and send.go to send
package client
