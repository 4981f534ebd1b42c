package admin

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

// profiles is the path of the profiles, which are those of package runtime/pprof. Package
// net/http/pprof is not used: who imports it serves them to everybody, on the
// http.DefaultServeMux of the program.
const profiles = "/debug/pprof/"

// maxProfile is how long a profile may take.
const maxProfile = 5 * time.Minute

// serveProfile serves a profile as net/http/pprof does: profile and trace of some seconds
// (30 and 1), and the others as they are, with debug=1 or 2 as text; that of the heap after
// a collection, with gc=1.
func serveProfile(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, profiles)
	switch p := pprof.Lookup(name); {
	case name == "":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "profile?seconds=30\ntrace?seconds=1")
		for _, p := range pprof.Profiles() {
			fmt.Fprintf(w, "%s?debug=1 (%d)\n", p.Name(), p.Count())
		}
	case name == "profile":
		timed(w, r, 30, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	case name == "trace":
		timed(w, r, 1, func() error { return trace.Start(w) }, trace.Stop)
	case p == nil:
		http.Error(w, "There is no such profile; "+profiles+" lists them.", http.StatusNotFound)
	default:
		debug, _ := strconv.Atoi(r.FormValue("debug"))
		if gc, _ := strconv.Atoi(r.FormValue("gc")); name == "heap" && gc > 0 {
			runtime.GC()
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		if debug > 0 {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		p.WriteTo(w, debug)
	}
}

// timed serves what is written between start and stop, some seconds later or once the
// client has gone.
func timed(w http.ResponseWriter, r *http.Request, seconds int, start func() error, stop func()) {
	if text := r.FormValue("seconds"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil || seconds < 1 || seconds > int(maxProfile/time.Second) {
			http.Error(w, fmt.Sprintf("seconds must be a number from 1 to %d.", int(maxProfile/time.Second)), http.StatusBadRequest)
			return
		}
	}
	d := time.Duration(seconds) * time.Second
	control := http.NewResponseController(w)
	control.SetWriteDeadline(time.Now().Add(d + time.Minute))
	control.SetReadDeadline(time.Time{}) // at which the request would be cancelled
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(); err != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		http.Error(w, "Another profile is being taken: "+err.Error(), http.StatusConflict)
		return
	}
	defer stop()
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	<-ctx.Done()
}
