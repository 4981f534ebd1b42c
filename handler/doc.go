// Package handler is what a server does with its sessions: it answers them
// ([Echo], [Close], [Amplify]) and joins them to topics ([Hub], [Broadcast]).
//
// Handlers know sessions and never transports.
package handler
