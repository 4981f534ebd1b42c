// Package handler is what a server does with its sessions: it answers them,
// as [Echo] does, and joins them to topics ([Hub], [Broadcast]).
//
// Handlers know sessions and never transports.
//
// hub.go delivers on a node, engine.go has what takes publications to the others,
// publication.go what they are on the way, once.go which of them were delivered before;
// broadcast.go and echo.go are handlers.
package handler
