package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/survey"
)

func (p *program) watchRouteCommand() *command.Command {
	var v view
	var within time.Duration
	every := time.Second
	s := &surveyed{p: p, servers: &v.nameServer.addr}
	return p.inspect(command.Command{
		Name:      "watch-route",
		Usage:     "show what changes in a topic's route at any NameServers",
		UsageText: "epitaph watch-route -n HOST:PORT,HOST:PORT,... [--every TIME] [--for TIME] [--json] TOPIC",
		Description: `Asks all NameServers, the Java ones too, within 50 ms of each other, every second, for the route of one topic, and prints
what changes at which of them. While they disagree a client's luck decides what it sees: from the first differing answer to the
first equal one is how long that lasted, give or take a poll. Ctrl-C ends it: with 0 when they agreed at last, with 1 when they did
not, with 2 when it was asked wrongly, and with 3 when one of them did not answer. Without -n the NameServers of a node and its members are asked.`,
		Argument: "TOPIC",
		Flags: append([]command.Flag{
			{To: &every, Name: "every", Usage: "ask every so long a `TIME`"},
			{To: &within, Name: "for", Default: "until Ctrl-C", Usage: "end after so long a `TIME`"},
		}, s.accessFlags()...),
	}, &v, func(ctx context.Context, args []string) error {
		return v.showWatchRoute(ctx, s, args[0], every, within)
	})
}

func (v *view) showWatchRoute(ctx context.Context, s *surveyed, topic string, every, within time.Duration) error {
	switch {
	case topic == "":
		return command.UsageError(errors.New("want the name of a topic"))
	case every < 10*time.Millisecond || every > time.Hour:
		return command.UsageError(fmt.Errorf("--every=%v: want a time from 10ms to an hour", every))
	case within < 0:
		return command.UsageError(fmt.Errorf("--for=%v: want a time above 0", within))
	}
	sv, err := v.openSurvey(ctx, s)
	if err != nil {
		return err
	}
	defer sv.Close()
	sv.Within(min(s.timeout, max(every, time.Second))) // a NameServer that hangs does not hold up the others for long
	ctx, stop := s.begin(ctx)
	defer stop()
	if within > 0 {
		timer := time.AfterFunc(within, stop) // not a deadline: a request that would end after it is an answer that nobody waits for
		defer timer.Stop()
	}
	fmt.Fprintf(s.p.stderr, "asking %s for the route of %s every %v; nothing is changed\n", plural(len(sv.Targets), "NameServer", "NameServers"), printable(topic), every)
	w := survey.NewRouteWatch(topic, sv.Targets)
	if err := sv.Watch(ctx, w, every, v.routeEvent); err != nil {
		return err
	}
	switch {
	case !w.Begun():
		return &command.Exit{Status: command.Silent, Err: errors.New("ended before all had answered once, or had let their time go by")}
	case w.Differ():
		return errors.New("the NameServers disagree")
	case w.Silent():
		return &command.Exit{Status: command.Silent, Err: errors.New("not every NameServer answers")}
	}
	return nil
}

// routeChange is a line of watch-route --json.
type routeChange struct {
	At         time.Time `json:"at"`
	Event      string    `json:"event"`
	NameServer string    `json:"nameserver,omitempty"`
	What       string    `json:"what"`
	LastedMS   int64     `json:"lasted_ms,omitempty"`
	GiveMS     int64     `json:"uncertainty_ms,omitempty"`
}

// routeEvent prints one line.
func (v *view) routeEvent(e survey.RouteEvent) error {
	if v.json {
		return json.NewEncoder(v.out).Encode(routeChange{e.At, e.Event, e.NameServer, e.What, e.Lasted.Milliseconds(), e.Give.Milliseconds()})
	}
	text := e.What
	switch e.Event {
	case "disagree":
		text = "they DISAGREE: " + text
	case "agree":
		text = "they agree: " + text
		if e.Lasted > 0 {
			text = fmt.Sprintf("they agree again after %s, give or take %s: %s", span(e.Lasted), span(e.Give), e.What)
		}
	default:
		text = e.NameServer + ": " + text
	}
	v.words(0, e.At.Local().Format("15:04:05.000")+" "+text)
	return nil
}
