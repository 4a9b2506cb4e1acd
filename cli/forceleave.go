package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func (p *program) forceLeaveCommand() *command.Command {
	var v view
	return p.inspect(command.Command{
		Name:      "force-leave",
		Usage:     "take a failed member off the lists of all nodes",
		UsageText: "epitaph force-leave [--socket PATH] MEMBER",
		Description: `A node that died without a word stays in epitaph members as "failed" for a day, so that somebody looks
after it. This takes it off, here and at the other members, when it will not come back. Nothing about
brokers changes. A member that lives is refused. The node is asked on its own machine, by its Unix
socket: HTTP only reads.`,
		Argument: "MEMBER",
	}, &v, v.forceLeave)
}

func (v *view) forceLeave(ctx context.Context, args []string) error {
	status, body, err := send(ctx, http.MethodPost, v.node, "/v1/force-leave?name="+url.QueryEscape(args[0]))
	if err != nil {
		return err
	}
	var done api.Forgotten
	if printed, err := v.read(status, body, &done); printed || err != nil {
		return err
	}
	_, err = fmt.Fprintf(v.out, "%s is forgotten\n", printable(done.Forgotten))
	return err
}
