// Package web is the pages: a browser's view of a server's endpoints.
//
// The test page opens one SockJS session on /echo or /broadcast, over the transport
// that sockjs-client chooses or over the one that the reader forces, and shows
// the frames, the transport in use and the round trips. An address such as
//
//	/?endpoint=/echo&transport=xhr-polling
//
// chooses and connects; what follows a # there, such as #ticket=..., is the query with which
// the session is opened. The xdr transports of sockjs-client are not offered:
// only browsers that cannot run this page have them.
//
// The chat, /chat.html, is a client of package handler/chat at /chat. What a reader says waits
// in the window until it is acknowledged, and the rooms are joined again where a session
// has ended: connection.js has the sessions, room.js and rooms.js what is known, messages.js
// and chat.js show it. An address such as
//
//	/chat.html?user=kim&transport=xhr-polling#room=lobby
//
// enters and opens a room. Otherwise the name that is asked for is kept in sessionStorage,
// so that each window may be somebody else.
//
// Everything is embedded: the page's own files are in page/, and sockjs-client,
// as package-lock.json pins it, is put into client/ before the binary is built.
// A binary that was built without it lets the page load the same file from a
// public CDN, and names that file and its hash, so that the browser runs
// nothing else.
package web
