package transport

import "net/http"

// Register has a mux serve the endpoint: its base URL, where native WebSockets
// arrive, and all below it. The pattern of one alone does not do: where a mux has
// "/ws/" only, it redirects /ws, and browsers follow no redirect of a WebSocket.
//
// Like mux.Handle it panics where the mux has a pattern that conflicts: beside "/ws/"
// "GET /" does, being for more paths and fewer methods; it has to be "/" or "GET /{$}".
func (e *Endpoint) Register(mux *http.ServeMux) {
	mux.Handle(e.prefix+"/", e)
	if e.prefix != "" {
		mux.Handle(e.prefix, e)
	}
}
