package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
)

const (
	defaultHTTP = "127.0.0.1:9886"
	runDir      = "/run/epitaph"  // where a packaged unit has its socket
	knockTime   = time.Second     // for a node to take a connection on this machine
	socketFiles = "epitaph*.sock" // in a directory
)

// target is a node that is asked: by its Unix socket or by HTTP.
type target struct {
	socket string   // path; empty: by HTTP
	http   string   // HOST:PORT
	named  bool     // somebody said that it is this one
	sought []string // directories in which there was no socket, so that HTTP is tried
}

func (t target) String() string { return cmp.Or(t.socket, t.http) }

// host is what stands in the URL.
func (t target) host() string {
	if t.socket != "" {
		return "localhost"
	}
	return t.http
}

func (t target) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	if t.socket != "" {
		return d.DialContext(ctx, "unix", t.socket)
	}
	return d.DialContext(ctx, network, addr)
}

// explain says what to do about a node that did not answer.
func (t target) explain(err error) error {
	var op *net.OpError
	dialing := errors.As(err, &op) && op.Op == "dial"
	err = cmp.Or(errors.Unwrap(err), err)
	late := errors.Is(err, context.DeadlineExceeded)
	switch {
	case t.socket != "" && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s is for its owner alone: run this as the user of the node, or as root (%w)", t.socket, err)
	case t.socket != "" && (dialing || late):
		return fmt.Errorf("no node answers at %s: say with --socket where its socket is, or with -a HOST:PORT where its HTTP is (%w)", t.socket, err)
	case t.socket != "":
		return fmt.Errorf("%s is no node's socket: say with --socket what was given to epitaph serve --socket (%w)", t.socket, err)
	case (dialing || late) && t.named:
		return fmt.Errorf("no node answers at %s: start it with --http %s, or say with -a HOST:PORT where its HTTP is (%w)", t.http, t.http, err)
	case dialing || late:
		return fmt.Errorf("no node has its socket in %s, and none answers at %s: say with --data, --socket PATH or -a HOST:PORT where it is (%w)",
			strings.Join(t.sought, " or "), t.http, err)
	default:
		return fmt.Errorf("%s is no node's HTTP: say with -a HOST:PORT what was given to epitaph serve --http, "+
			"which is not the port for brokers and clients (%w)", t.http, err)
	}
}

// where are the flags that say which node is asked.
type where struct {
	socket, data, http                string
	socketGiven, dataGiven, httpGiven bool // on the command line
}

// flags read the variables that serve reads, so that a command in a container finds its node.
func (w *where) flags() []command.Flag {
	w.http = defaultHTTP
	return []command.Flag{
		{To: &w.socket, Given: &w.socketGiven, Name: "socket", Env: envOf("socket"), Default: "found in --data and " + runDir,
			Usage: "`PATH` of the node's Unix socket, as given to epitaph serve --socket"},
		{To: &w.data, Given: &w.dataGiven, Name: "data", Env: envOf("data"), Default: "~/namesrv",
			Usage: "`DIR` in which the node has its socket, as given to epitaph serve --data"},
		{To: &w.http, Given: &w.httpGiven, Name: "http-addr", Short: "a", Env: envOf("http"), Default: defaultHTTP + ", where no socket is found",
			Usage: "`HOST:PORT` of the node's HTTP, as given to epitaph serve --http"},
	}
}

// socketDirs are the directories in which a node's socket is looked for when nobody says where it is.
func (p *program) socketDirs() []string {
	if p.usual != nil {
		return p.usual
	}
	sys := p.system(nil)
	return []string{sys.DataDir(), runDir}
}

// find says which node is asked: the one that was named, else the only one that has a socket on this machine, else the
// one whose HTTP is where it would be by default.
func (p *program) find(ctx context.Context, w where) (target, error) {
	http, err := askAddr(w.http)
	switch {
	case err != nil:
		return target{}, command.UsageError(err)
	case w.httpGiven && w.socketGiven:
		return target{}, command.UsageError(errors.New("--socket and --http-addr name two ways to one node: give one of them"))
	case w.httpGiven:
		return target{http: http, named: true}, nil
	case w.socketGiven || w.socket != "" && !w.dataGiven:
		return target{socket: w.socket, named: true}, nil
	case !w.dataGiven && !thisMachine(http):
		return target{http: http, named: true}, nil
	}
	dirs := p.socketDirs()
	if w.data != "" {
		dirs = []string{w.data}
	}
	switch found := searchSockets(ctx, dirs); {
	case len(found) > 1:
		return target{}, fmt.Errorf("several nodes are on this machine; say with --socket which one is meant:\n  %s", strings.Join(found, "\n  "))
	case len(found) == 1:
		return target{socket: found[0]}, nil
	case w.dataGiven:
		return target{}, fmt.Errorf("no node has its socket in %s: is it running, and with --data %s? "+
			"Else say with --socket PATH or -a HOST:PORT where it is", w.data, w.data)
	}
	return target{http: http, sought: dirs}, nil
}

// searchSockets finds the sockets at which somebody listens, and those that this user may not open. What a crash left is
// passed over.
func searchSockets(ctx context.Context, dirs []string) (found []string) {
	for _, dir := range dirs {
		paths, _ := filepath.Glob(filepath.Join(globbed(dir), socketFiles)) // of what cannot be read there is nothing to be asked
		for _, path := range paths {
			d := net.Dialer{Timeout: knockTime}
			c, err := d.DialContext(ctx, "unix", path)
			if err == nil {
				c.Close()
			} else if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, context.DeadlineExceeded) {
				continue
			}
			found = append(found, path)
		}
	}
	return found
}

// globbed is a directory's name as a pattern that means nothing else.
func globbed(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

// thisMachine says that an address of HTTP tells nothing about which node is meant: it is where one of this machine listens.
func thisMachine(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// askAddr makes an address to connect to of one to listen at.
func askAddr(addr string) (string, error) {
	host, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/"))
	if err != nil || port == "" {
		return "", fmt.Errorf("--http-addr=%q: want HOST:PORT, such as %s", addr, defaultHTTP)
	}
	return net.JoinHostPort(loopbackFor(host), port), nil
}

// loopbackFor is the host that a listener of this machine is reached at.
func loopbackFor(host string) string {
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}
