package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
)

// The commands that ask a running node.
const (
	defaultHTTP   = "127.0.0.1:9886"
	askTime       = 5 * time.Second
	maxAnswer     = 256 << 20 // bytes
	limitOfScreen = 20        // departures and decisions shown unless --limit says otherwise
)

// httpFlag says whom to ask. The variable is that of serve --http, so that a command in a container finds its node.
func httpFlag(to *string) command.Flag {
	*to = defaultHTTP
	return command.Flag{
		To: to, Name: "http-addr", Short: "a", Env: envOf("http"), Usage: "`HOST:PORT` of the node's HTTP, as given to epitaph serve --http",
	}
}

// view is where and how a command answers, and what it was asked.
type view struct {
	out        io.Writer
	http       string
	json, wide bool
	now        func() time.Time

	namesrv, broker string // flags that some commands have
	limit           int
	once            bool
}

// inspect makes a command that asks a running node from one that lacks only the flags that all of those have.
func (p *program) inspect(c command.Command, v *view, run func(ctx context.Context, args []string) error) *command.Command {
	v.out, v.now = p.stdout, time.Now
	c.Flags = append(append([]command.Flag{httpFlag(&v.http)}, c.Flags...),
		command.Flag{To: &v.json, Name: "json", Usage: "for programs: JSON, with everything that is known"},
		command.Flag{To: &v.wide, Name: "wide", Short: "w", Usage: "shorten nothing, however long the lines become"})
	c.Run = func(ctx context.Context, args []string) (err error) {
		if v.http, err = askAddr(v.http); err != nil {
			return command.UsageError(err)
		}
		return run(ctx, args)
	}
	return &c
}

// askAddr makes an address to connect to of one to listen at.
func askAddr(addr string) (string, error) {
	host, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/"))
	if err != nil || port == "" {
		return "", fmt.Errorf("--http-addr=%q: want HOST:PORT, such as %s", addr, defaultHTTP)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// ask gets path from the node's HTTP.
func ask(ctx context.Context, addr, path string) (status int, body []byte, err error) {
	return send(ctx, http.MethodGet, addr, path)
}

// send asks the node's HTTP. An answer comes back whatever its status.
func send(ctx context.Context, method, addr, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
	if err != nil {
		return 0, nil, err
	}
	// A proxy of the environment has no business between an operator and a node.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, explainAsk(addr, err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, fmt.Errorf("%s stopped in the middle of its answer: %w", addr, err)
	}
	if len(body) > maxAnswer {
		return 0, nil, fmt.Errorf("%s: the answer is larger than %d MB; ask for less with --limit", addr, maxAnswer>>20)
	}
	return resp.StatusCode, body, nil
}

func explainAsk(addr string, err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial", errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no node answers at %s: start it with --http %s, or say with -a HOST:PORT where its HTTP is (%w)",
			addr, addr, errors.Unwrap(err))
	default:
		return fmt.Errorf("%s is no node's HTTP: say with -a HOST:PORT what was given to epitaph serve --http, "+
			"which is not the port for brokers and clients (%w)", addr, errors.Unwrap(err))
	}
}

// askJSON gets path and reads it into v. With --json it is printed instead, and done is true.
func (v *view) askJSON(ctx context.Context, path string, into any) (done bool, err error) {
	status, body, err := ask(ctx, v.http, path)
	if err != nil {
		return false, err
	}
	return v.read(status, body, into)
}

// read takes an answer apart, as askJSON does.
func (v *view) read(status int, body []byte, into any) (done bool, err error) {
	if status != http.StatusOK {
		var told api.Error
		if json.Unmarshal(body, &told) == nil && told.Error != "" {
			return false, fmt.Errorf("%s: %s", v.http, told.Error)
		}
		line, _, _ := strings.Cut(string(body), "\n")
		return false, fmt.Errorf("%s answers %d: %s", v.http, status, shorten(printable(line), screenWidth))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return false, fmt.Errorf("%s answers something that is not of this version of epitaph: %w", v.http, err)
	}
	if v.json {
		return true, v.printJSON(body)
	}
	return false, nil
}

func (v *view) printJSON(body []byte) error {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, bytes.TrimSpace(body), "", "  "); err != nil {
		return err
	}
	pretty.WriteByte('\n')
	_, err := pretty.WriteTo(v.out)
	return err
}

// printAsJSON is printJSON of something that no node has answered as JSON.
func (v *view) printAsJSON(what any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	return v.printJSON(body)
}

const gossipOff = `This node gossips with nobody. To change that start it with --gossip, --join
and --cluster; see epitaph serve --help.`

func (p *program) healthCommand() *command.Command {
	var addr string
	return &command.Command{
		Name:      "health",
		Usage:     "ask a node whether clients should be sent to it (exit status 0 or 1)",
		UsageText: "epitaph health [-a HOST:PORT]",
		Description: `Prints one line and ends with 0 when the node is ready, and with 1 when it is not (starting, waiting for brokers,
draining) or does not answer: what a container's health check wants.`,
		Flags: []command.Flag{httpFlag(&addr)},
		Run: func(ctx context.Context, _ []string) error {
			addr, err := askAddr(addr)
			if err != nil {
				return command.UsageError(err)
			}
			status, body, err := ask(ctx, addr, "/readyz")
			if err != nil {
				return err
			}
			line, _, _ := strings.Cut(string(body), "\n")
			line = shorten(printable(line), 3*screenWidth)
			if status != http.StatusOK {
				return fmt.Errorf("%s: %s", addr, line)
			}
			_, err = fmt.Fprintln(p.stdout, line)
			return err
		},
	}
}
