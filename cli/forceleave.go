package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/api"
)

func (p *program) forceLeaveCommand() *urfave.Command {
	return p.inspectCommand(inspection{
		name:  "force-leave",
		usage: "take a failed member off the lists of all nodes",
		text:  "epitaph force-leave [-a HOST:PORT] MEMBER",
		description: `A node that died without a word stays in epitaph members as "failed" for a day, so that somebody looks
after it. This takes it off, here and at the other members, when it will not come back. Nothing about
brokers changes. A member that lives is refused. The node must be asked on its own machine, over a
loopback address (serve --http 127.0.0.1:9886).`,
		run: forceLeave,
	})
}

func forceLeave(c *urfave.Context, v *view) error {
	if c.Args().Len() != 1 {
		return usageError(errors.New("force-leave takes one MEMBER, behind the flags; see epitaph force-leave --help"))
	}
	status, body, err := send(c.Context, http.MethodPost, v.http, "/v1/force-leave?name="+url.QueryEscape(c.Args().First()))
	if err != nil {
		return err
	}
	if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
		return fmt.Errorf("%s force-leaves no member: its HTTP does not listen on loopback only; ask on its own machine, "+
			"with --http 127.0.0.1:PORT at the node", v.http)
	}
	var done api.Forgotten
	if printed, err := v.read(status, body, &done); printed || err != nil {
		return err
	}
	_, err = fmt.Fprintf(v.out, "%s is forgotten\n", shorten(printable(done.Forgotten), screenWidth-20))
	return err
}
