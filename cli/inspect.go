package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
)

// The commands that ask a running node.
const (
	askTime       = 5 * time.Second
	maxAnswer     = 256 << 20 // bytes
	limitOfScreen = 20        // departures and decisions shown unless --limit says otherwise
)

// view is where and how a command answers, and what it was asked.
type view struct {
	out        io.Writer
	node       target
	find       func(ctx context.Context) error // sets node
	json, wide bool
	whole      bool // nobody looks at it on a terminal: nothing is shortened, and no line broken
	now        func() time.Time

	nameServer nameServer // flags that some commands have
	broker     string
	limit      int
	limitGiven bool
	once       bool
}

// inspect makes a command that asks a running node from one that lacks only the flags that all of those have.
func (p *program) inspect(c command.Command, v *view, run func(ctx context.Context, args []string) error) *command.Command {
	v.out, v.now, v.whole = p.stdout, time.Now, terminalFile(p.stdout) == nil
	var w where
	c.Flags = append(append(w.flags(), c.Flags...),
		command.Flag{To: &v.json, Name: "json", Usage: "for programs: JSON, with everything that is known"},
		command.Flag{To: &v.wide, Name: "wide", Short: "w", Usage: "shorten nothing, however long the lines become, and show more columns"})
	v.find = func(ctx context.Context) (err error) {
		v.node, err = p.find(ctx, w)
		return err
	}
	c.Run = func(ctx context.Context, args []string) error {
		if v.nameServer.addr == "" {
			if err := v.find(ctx); err != nil {
				return err
			}
		}
		return run(ctx, args)
	}
	return &c
}

// when is the time that ages in an answer are counted from: that of the node, not of this machine, whose clock is another one.
// A former release does not say it.
func (v *view) when(a api.Asked) time.Time {
	if a.Now.IsZero() {
		return v.now()
	}
	return a.Now
}

// ask gets path from the node.
func ask(ctx context.Context, node target, path string) (status int, body []byte, err error) {
	return send(ctx, http.MethodGet, node, path)
}

// send asks the node. An answer comes back whatever its status.
func send(ctx context.Context, method string, node target, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+node.host()+path, nil)
	if err != nil {
		return 0, nil, err
	}
	// A proxy of the environment has no business between an operator and a node.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: node.dial}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, node.explain(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, fmt.Errorf("%s stopped in the middle of its answer: %w", node, err)
	}
	if len(body) > maxAnswer {
		return 0, nil, fmt.Errorf("%s: the answer is larger than %d MB; ask for less with --limit", node, maxAnswer>>20)
	}
	return resp.StatusCode, body, nil
}

// askJSON gets path and reads it into v. With --json it is printed instead, and done is true.
func (v *view) askJSON(ctx context.Context, path string, into any) (done bool, err error) {
	status, body, err := ask(ctx, v.node, path)
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
			return false, fmt.Errorf("%s: %s", v.node, told.Error)
		}
		line, _, _ := strings.Cut(string(body), "\n")
		return false, fmt.Errorf("%s answers %d: %s", v.node, status, shorten(printable(line), 3*screenWidth))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return false, fmt.Errorf("%s answers something that is not of this version of epitaph: %w", v.node, err)
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
