package main

import (
	"net/http"
	"slices"
	"strings"
)

// A router gives each request to the handler with the longest prefix of its
// path, as it is. http.ServeMux would answer a path that holds // with a
// redirect, where SockJS has 404. It is safe for concurrent use once it has its
// routes.
type router struct {
	routes []route // the longest prefix first
	rest   http.Handler
}

type route struct {
	prefix  string
	handler http.Handler
	name    string // by which the handler knows the prefix
}

// add routes prefix itself and everything below it. A prefix has no slash at
// its end.
func (r *router) add(prefix string, h http.Handler) { r.addAlias(prefix, prefix, h) }

// addAlias is add for a handler that knows the prefix by another name.
func (r *router) addAlias(prefix, name string, h http.Handler) {
	i, _ := slices.BinarySearchFunc(r.routes, len(prefix), func(have route, length int) int {
		return length - len(have.prefix)
	})
	r.routes = slices.Insert(r.routes, i, route{prefix, h, name})
}

func (r *router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	route, below, ok := r.find(req.URL.Path)
	if !ok {
		r.rest.ServeHTTP(w, req)
		return
	}
	route.handler.ServeHTTP(w, renamed(req, route, below))
}

// find returns the route for a path, and what of the path is below its prefix.
func (r *router) find(path string) (rt route, below string, ok bool) {
	for _, rt := range r.routes {
		below, ok := strings.CutPrefix(path, rt.prefix)
		if ok && (below == "" || below[0] == '/') {
			return rt, below, true
		}
	}
	return route{}, "", false
}

// renamed is the request as the route's handler knows its path.
func renamed(req *http.Request, route route, below string) *http.Request {
	if route.name == route.prefix {
		return req
	}
	named, u := *req, *req.URL
	u.Path = route.name + below
	named.URL = &u
	return &named
}
