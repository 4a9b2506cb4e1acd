package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
)

const (
	lookAgain  = 500 * time.Millisecond // of a command that waits
	settleTime = 2 * time.Second        // for what a node finds out about the others by itself
)

func (p *program) drainCommand() *command.Command {
	var v view
	var wait time.Duration
	return p.inspect(command.Command{
		Name:      "drain",
		Usage:     "let the clients of a node go, before it is stopped",
		UsageText: "epitaph drain [--socket PATH] [--wait TIME]",
		Description: `The node says "draining" to the others, is taken out of the clients' list of every address server, is not ready
any more, and goes on serving everybody as before: nobody is sent away. Clients that ask an address server leave by themselves,
within two minutes. epitaph undrain takes them again. A drain does not end the program: stop it as always, and what it has drained
before counts for --drain-on-stop. With --wait this command waits until no client has asked for a route for as long as the node's
--drain-quiet says, and ends with 1 when some still do. The node is asked on its own machine, by its Unix socket.`,
		Flags: []command.Flag{{To: &wait, Name: "wait", Usage: "wait for so long a `TIME` at most until all clients have left, such as 160s"}},
	}, &v, func(ctx context.Context, _ []string) error { return v.drain(ctx, wait) })
}

func (p *program) undrainCommand() *command.Command {
	var v view
	return p.inspect(command.Command{
		Name:        "undrain",
		Usage:       "take clients again after epitaph drain",
		UsageText:   "epitaph undrain [--socket PATH]",
		Description: "Ends a drain: the node is ready again, and back in the clients' lists within a second.",
	}, &v, func(ctx context.Context, _ []string) error {
		var d api.Drain
		if done, err := v.post(ctx, "/v1/undrain", &d); done || err != nil {
			return err
		}
		_, err := fmt.Fprintln(v.out, "draining no more: clients may come")
		return err
	})
}

// post asks the node to do something, and reads its answer as askJSON does.
func (v *view) post(ctx context.Context, path string, into any) (done bool, err error) {
	status, body, err := send(ctx, http.MethodPost, v.node, path)
	if err != nil {
		return false, err
	}
	return v.read(status, body, into)
}

// checkWait judges what was given as --wait.
func checkWait(wait time.Duration) error {
	if wait < 0 {
		return command.UsageError(fmt.Errorf("--wait=%v: want a time of 0 or more, such as 30s", wait))
	}
	return nil
}

func (v *view) drain(ctx context.Context, wait time.Duration) error {
	if err := checkWait(wait); err != nil {
		return err
	}
	asJSON := v.json
	v.json = asJSON && wait <= 0
	var d api.Drain
	if done, err := v.post(ctx, "/v1/drain", &d); done || err != nil {
		return err
	}
	if wait <= 0 {
		_, err := fmt.Fprintln(v.out, "draining: everybody is served as before. Clients that ask an address server\n"+
			"leave within two minutes, those with a list of their own stay.")
		return err
	}
	err := again(ctx, wait, func() (bool, error) {
		if _, err := v.askJSON(ctx, "/v1/drain", &d); err != nil {
			return false, err
		}
		if !d.Draining {
			return false, errors.New("the drain was ended by somebody else (epitaph undrain), or the node was started anew")
		}
		return d.Quiet, nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		err = v.printAsJSON(d)
	} else if d.Quiet {
		_, err = fmt.Fprintf(v.out, "drained: no client has asked for a route for %s\n", span(milliseconds(d.UnaskedMS)))
	}
	switch {
	case err != nil || d.Quiet:
	case d.UnaskedMS >= d.ForMS:
		err = fmt.Errorf("no client has asked this node for a route since the drain began, %s ago, which is less than its --drain-quiet; it goes on draining",
			span(milliseconds(d.ForMS)))
	default:
		err = fmt.Errorf("clients still ask this node for routes, the last one %s ago; it goes on draining", span(milliseconds(d.UnaskedMS)))
	}
	return err
}

// again asks until it is so, or the time is over.
func again(ctx context.Context, wait time.Duration, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		if done, err := so(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (p *program) safeToStopCommand() *command.Command {
	var v view
	var wait time.Duration
	var ignored []string
	var anyKV bool
	return p.inspect(command.Command{
		Name:      "safe-to-stop",
		Usage:     "ask whether a node may be stopped: whether the others have all that it has (exit status 0 or 1)",
		UsageText: "epitaph safe-to-stop [--wait TIME] [--ignore BROKER]... [--ignore-kv] [--socket PATH | -a HOST:PORT] [--json]",
		Description: `Ends with 0 when another node is left that has held every broker and takes clients, the others hold every broker that
this one holds and have its KV values, no other one drains, and the address lists stay whole; else with 1 and the reasons. A gate before
each step of a rolling replacement. With --wait, on the node's own machine, it also says that this node is to be stopped: of several nodes where it waits
at the same time one is let go, the one with the lowest name, and the next one when that has left, or was not stopped within a minute.
Without --wait, and by HTTP (-a), it only asks. In a preStop hook of Kubernetes, which overlooks its status, it can only delay the stop.`,
		Flags: []command.Flag{
			{To: &wait, Name: "wait", Usage: "ask again for so long a `TIME` at most until it is safe"},
			{To: &ignored, Name: "ignore", Usage: "`BROKER` that registers at this node only; may be given several times"},
			{To: &anyKV, Name: "ignore-kv", Usage: "take KV values that differ, or that another node lacks, for no reason"},
		},
	}, &v, func(ctx context.Context, _ []string) error { return v.safeToStop(ctx, wait, ignored, anyKV) })
}

// wish says that the node is to be stopped, and asks whether it may be. A node of a former release is only asked.
func (v *view) wish(ctx context.Context, path string, into any) (done bool, err error) {
	status, body, err := send(ctx, http.MethodPost, v.node, path)
	if err != nil {
		return false, err
	}
	if status == http.StatusMethodNotAllowed {
		return v.askJSON(ctx, path, into)
	}
	return v.read(status, body, into)
}

func (v *view) safeToStop(ctx context.Context, wait time.Duration, ignored []string, anyKV bool) error {
	if err := checkWait(wait); err != nil {
		return err
	}
	query := url.Values{"ignore": ignored}
	if anyKV {
		query.Set("ignore_kv", "true")
	}
	path := "/v1/safe-to-stop?" + query.Encode()
	asJSON := v.json
	v.json = false
	var a api.SafeToStop
	began := time.Now()
	ask := v.askJSON
	if wait > 0 && v.node.socket != "" {
		ask = v.wish
	}
	err := again(ctx, max(wait, settleTime), func() (bool, error) {
		a = api.SafeToStop{}
		_, err := ask(ctx, path, &a)
		return a.Safe || a.Settled && time.Since(began) >= wait, err
	})
	if err != nil {
		return err
	}
	if asJSON {
		err = v.printAsJSON(a)
	} else if a.Safe {
		but := ""
		if anyKV || len(ignored) > 0 {
			but = ", but for what was to be ignored"
		}
		_, err = fmt.Fprintf(v.out, "safe to stop: the others have all that this node has%s\n", but)
	}
	if err == nil && !a.Safe {
		err = errors.New("not safe to stop: " + printable(strings.Join(a.Reasons, "; ")))
	}
	return err
}
