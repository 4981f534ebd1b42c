// Package handler is what a server does with its sessions: it answers them
// ([Echo], [Close], [Amplify]) and joins them to topics ([Hub], [Broadcast]).
//
// Handlers know sessions and never transports.
//
// hub.go delivers on a node, engine.go has what takes publications to the others,
// publication.go what they are on the way; broadcast.go and echo.go are handlers.
package handler
