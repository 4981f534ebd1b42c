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
}

// add routes prefix itself and everything below it. A prefix has no slash at
// its end.
func (r *router) add(prefix string, h http.Handler) {
	i, _ := slices.BinarySearchFunc(r.routes, len(prefix), func(have route, length int) int {
		return length - len(have.prefix)
	})
	r.routes = slices.Insert(r.routes, i, route{prefix, h})
}

func (r *router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	for _, route := range r.routes {
		below, ok := strings.CutPrefix(req.URL.Path, route.prefix)
		if ok && (below == "" || below[0] == '/') {
			route.handler.ServeHTTP(w, req)
			return
		}
	}
	r.rest.ServeHTTP(w, req)
}
