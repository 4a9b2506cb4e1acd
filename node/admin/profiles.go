package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

const (
	profilesPath   = "/debug/pprof/"
	profileSeconds = 60               // that a profile or trace takes at most: it holds one of the door's slots
	profileWrite   = 30 * time.Second // for its answer to be taken, once it is measured
)

// routeProfiles are those of net/http/pprof, which costs 150 kB of program: it also does what `go tool pprof` does by itself, symbols
// and differences.
func routeProfiles(mux *http.ServeMux) {
	mux.HandleFunc("GET "+profilesPath+"{$}", func(w http.ResponseWriter, _ *http.Request) {
		names := []string{"cmdline", "profile?seconds=30", "trace?seconds=1"}
		for _, p := range pprof.Profiles() {
			names = append(names, p.Name()+"?debug=1")
		}
		writeLine(w, http.StatusOK, strings.Join(names, "\n"))
	})
	mux.HandleFunc("GET "+profilesPath+"cmdline", func(w http.ResponseWriter, _ *http.Request) {
		writeLine(w, http.StatusOK, strings.Join(os.Args, "\x00"))
	})
	mux.HandleFunc("GET "+profilesPath+"profile", during(30, pprof.StartCPUProfile, pprof.StopCPUProfile))
	mux.HandleFunc("GET "+profilesPath+"trace", during(1, trace.Start, trace.Stop))
	mux.HandleFunc("GET "+profilesPath+"{name}", func(w http.ResponseWriter, r *http.Request) {
		p := pprof.Lookup(r.PathValue("name"))
		switch {
		case p == nil:
			http.Error(w, "there is no such profile: "+profilesPath+" lists them", http.StatusNotFound)
			return
		case r.FormValue("seconds") != "":
			http.Error(w, "seconds: take two of this profile, and go tool pprof -base tells the difference", http.StatusBadRequest)
			return
		case p.Name() == "heap" && r.FormValue("gc") == "1":
			runtime.GC()
		}
		debug, _ := strconv.Atoi(r.FormValue("debug"))
		if debug != 0 {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		} else {
			binary(w)
		}
		_ = p.WriteTo(w, debug) // a client that left is no fault
	})
}

func binary(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

// during answers what is measured between start and stop, for so many seconds as the request says.
func during(seconds float64, start func(io.Writer) error, stop func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		wanted := seconds
		if text := r.FormValue("seconds"); text != "" {
			var err error
			if wanted, err = strconv.ParseFloat(text, 64); err != nil || !(wanted > 0 && wanted <= profileSeconds) {
				http.Error(w, fmt.Sprintf("seconds: want a number above 0, %d at most", profileSeconds), http.StatusBadRequest)
				return
			}
		}
		d := time.Duration(wanted * float64(time.Second))
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d + profileWrite))
		binary(w)
		if err := start(w); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer stop()
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		<-ctx.Done()
	}
}
