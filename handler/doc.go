// Package handler is what a server does with its sessions: it answers them,
// as [Echo] does, and joins them to topics ([Hub], [Broadcast]).
//
// Begin with a session.Handler of your own, and with a Hub where one session is to reach
// others. On one node a Hub is over [Memory]; several nodes are joined by another [Engine]:
// see package engine. What it delivers it does not keep: see package history. Packages
// stomp and chat are handlers that clients have libraries or a page for, package rules says
// who may do what.
//
// Handlers know sessions and never transports.
//
// hub.go delivers on a node, engine.go has what takes publications to the others,
// publication.go what they are on the way, once.go which of them were delivered before;
// broadcast.go and echo.go are handlers.
package handler
