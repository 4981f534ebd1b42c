package transport

import (
	"net/http"
	"time"

	"github.com/rs/cors"
)

// Header values that many answers share.
var (
	nosniff    = []string{"nosniff"}
	anyOrigin  = []string{"*"}
	uncached   = []string{"no-store, no-cache, no-transform, must-revalidate, max-age=0"}
	cachedYear = []string{"public, max-age=31536000"}
	plainText  = []string{"text/plain; charset=UTF-8"}
	javascript = []string{"application/javascript; charset=UTF-8"}
	unbuffered = []string{"no"}
)

const year = 365 * 24 * time.Hour

// newCORS returns the function that sets the CORS headers of an answer. What
// rs/cors does not do is done here: a request without an origin gets *.
func newCORS() func(http.ResponseWriter, *http.Request) {
	c := cors.New(cors.Options{
		AllowOriginFunc:      func(string) bool { return true }, // or the request was refused before
		AllowedMethods:       []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders:       []string{"*"},
		AllowCredentials:     true,
		MaxAge:               int(year / time.Second),
		OptionsSuccessStatus: http.StatusNoContent,
	})
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") == "" {
			w.Header()["Access-Control-Allow-Origin"] = anyOrigin
		}
		c.HandlerFunc(w, r)
	}
}

// preflight answers OPTIONS, cacheably. The answer names the methods that the
// path takes, whichever was asked for (sockjs-protocol, Test.verify_options):
// rs/cors would answer the one asked for, and nothing to a list.
func (e *Endpoint) preflight(w http.ResponseWriter, r *http.Request, rt *route) {
	h := w.Header()
	h["Cache-Control"] = cachedYear
	h.Set("Expires", time.Now().Add(year).UTC().Format(http.TimeFormat))
	h.Set("Access-Control-Allow-Methods", rt.allow())
	h.Set("Access-Control-Max-Age", "31536000")
	h["Allow"] = []string{rt.allow()}
	if r.Header.Get("Access-Control-Request-Method") == "" {
		e.cors(w, withMethod(r, http.MethodGet))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	asked := withMethod(r, http.MethodOptions)
	asked.Header.Set("Access-Control-Request-Method", rt.method)
	e.cors(&methods{ResponseWriter: w, allow: rt.allow()}, asked)
}

// withMethod is r with another method and headers of its own.
func withMethod(r *http.Request, method string) *http.Request {
	c := *r
	c.Method, c.Header = method, r.Header.Clone()
	return &c
}

// methods puts the methods of the path into rs/cors's answer.
type methods struct {
	http.ResponseWriter
	allow string
}

func (m *methods) WriteHeader(status int) {
	m.Header().Set("Access-Control-Allow-Methods", m.allow)
	m.ResponseWriter.WriteHeader(status)
}

// setCookie keeps a load balancer's stickiness: it gives the client its
// JSESSIONID back, or a first one (sockjs-protocol, JsessionidCookie).
func setCookie(w http.ResponseWriter, r *http.Request) {
	value := "dummy"
	if c, err := r.Cookie("JSESSIONID"); err == nil {
		value = c.Value
	}
	w.Header().Add("Set-Cookie", "JSESSIONID="+value+"; Path=/")
}

// hangUp ends the connection with the answer. HTTP/2 would end all that it
// carries, and needs no such thing.
func hangUp(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

// unread is hangUp for a request whose body is not read: net/http would read it
// before it sends the answer, however long that takes.
func unread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		hangUp(w, r)
	}
}

func notFound(w http.ResponseWriter) { refuse(w, http.StatusNotFound, "Not found.") }

// refuse answers with a status and a line that says why.
func refuse(w http.ResponseWriter, status int, reason string) {
	h := w.Header()
	h["Content-Type"] = plainText
	h["X-Content-Type-Options"] = nosniff
	w.WriteHeader(status)
	w.Write([]byte(reason + "\n"))
}
