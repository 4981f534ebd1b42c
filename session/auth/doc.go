// Package auth knows who is asking for a session: by a token, which somebody else has
// signed (JWT, RFC 7519), or by a ticket, which this process has issued.
//
//	verifier.go   a token's signature and claims
//	keys.go       the keys of a file, and which algorithms each takes
//	fetch.go      the keys of a URL, which change
//	signer.go     makes tokens, for tests and by hand
//	ticket.go     tickets, for pages that cannot set headers
//	opener.go     an Opener around another, which asks for them
//
// Begin with [Opener], which is given an endpoint's opener and the [Access] that it takes: a
// [Verifier] of tokens, made of [Keys], and [Tickets].
//
// Nothing here logs a token or a ticket, or quotes one in an error.
package auth
