package cli

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

func nameServerFlag(v *view) command.Flag {
	return command.Flag{
		To: &v.namesrv, Name: "namesrv", Short: "n",
		Usage: "`HOST:PORT` of any NameServer, to be asked by RocketMQ's own protocol instead of HTTP",
	}
}

func (p *program) routesCommand() *command.Command {
	var v view
	return p.inspect(command.Command{
		Name:      "routes",
		Usage:     "show which brokers serve a topic",
		UsageText: "epitaph routes [--socket PATH | -a HOST:PORT | -n HOST:PORT] [--json] TOPIC",
		Description: `Shows what a client is told: brokers, queues, permission (r: consumers may read, w: producers may write) and
addresses; id 0 is the master. With -n any NameServer is asked, the Java one too. Ends with 1 when nobody has the topic.`,
		Flags:    []command.Flag{nameServerFlag(&v)},
		Argument: "TOPIC",
	}, &v, v.showRoute)
}

func (v *view) showRoute(ctx context.Context, args []string) error {
	topic := args[0]
	var r api.Route
	if v.namesrv != "" {
		if err := routeOf(ctx, v.namesrv, topic, &r); err != nil {
			return err
		}
		if v.json {
			return v.printAsJSON(&r)
		}
	} else if done, err := v.askJSON(ctx, "/v1/routes?topic="+url.QueryEscape(topic), &r); done || err != nil {
		return err
	}
	return v.route(&r)
}

func (v *view) route(r *api.Route) error {
	v.lines(0, "Topic "+r.Topic, plural(len(r.Queues), "broker", "brokers"))
	t := newTable("BROKER", "CLUSTER", "READ", "WRITE", "PERM", "ID", "ADDRESS")
	t.keep = 6
	for _, b := range r.Brokers {
		row := []string{b.Broker, b.Cluster, "-", "-", "-"}
		for _, q := range r.Queues {
			if q.Broker == b.Broker {
				row[2], row[3] = strconv.Itoa(int(q.Read)), strconv.Itoa(int(q.Write))
				row[4] = permission(q.Perm)
			}
		}
		for _, a := range b.Addrs {
			t.add(append(row, strconv.FormatInt(a.ID, 10), a.Addr)...)
			row = []string{"", "", "", "", ""}
		}
	}
	return v.table(t)
}

// permission is RocketMQ's number in letters.
func permission(perm int32) string {
	text := ""
	if perm&4 != 0 {
		text += "r"
	}
	if perm&2 != 0 {
		text += "w"
	}
	if text == "" {
		return "none"
	}
	return text
}

// askNameServer sends one request to a NameServer's plain port.
func askNameServer(ctx context.Context, server string, code int32, ext map[string]string) (*remoting.Command, error) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		return nil, command.UsageError(fmt.Errorf("--namesrv=%q: want HOST:PORT, such as 127.0.0.1:9876", server))
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	cfg := rpc.DefaultClientConfig()
	client, err := rpc.Dial(ctx, server, cfg)
	if err != nil {
		return nil, fmt.Errorf("no NameServer answers at %s: say with -n HOST:PORT where it listens (%w)", server, err)
	}
	defer client.Close()
	answer, err := client.Invoke(ctx, &remoting.Command{Code: code, Version: remoting.Version, Ext: ext})
	if err != nil {
		return nil, fmt.Errorf("%s is no NameServer, or wants TLS, which this command does not speak (%w)", server, err)
	}
	if answer.Code != remoting.Success && answer.Code != remoting.TopicNotExist {
		return nil, &refusal{server, answer.Code, shorten(printable(answer.Remark), 2*screenWidth)}
	}
	return answer, nil
}

// refusal is an answer with another code than that of success.
type refusal struct {
	server string
	code   int32
	remark string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s answers code %d: %s", r.server, r.code, r.remark)
}

func routeOf(ctx context.Context, server, topic string, into *api.Route) error {
	answer, err := askNameServer(ctx, server, remoting.GetRouteInfoByTopic, map[string]string{"topic": topic})
	if err != nil {
		return err
	}
	if answer.Code == remoting.TopicNotExist {
		return fmt.Errorf("%s: no broker there has the topic %q", server, topic)
	}
	r, err := body.DecodeTopicRoute(answer.Body)
	if err != nil {
		return fmt.Errorf("%s: decode route: %w", server, err)
	}
	*into = api.Route{Topic: topic, Order: r.OrderTopicConf.S, Queues: []api.Queue{}, Brokers: []api.RouteBroker{}}
	for _, q := range r.Queues {
		into.Queues = append(into.Queues, api.Queue{
			Broker: q.BrokerName, Read: q.ReadQueueNums, Write: q.WriteQueueNums, Perm: q.Perm, SysFlag: q.TopicSysFlag,
		})
	}
	for _, b := range r.Brokers {
		rb := api.RouteBroker{
			Cluster: b.Cluster, Broker: b.BrokerName, Zone: b.ZoneName.S, ActingMaster: b.EnableActingMaster,
			Addrs: []api.RouteAddr{},
		}
		for _, a := range b.Addrs {
			rb.Addrs = append(rb.Addrs, api.RouteAddr(a))
		}
		slices.SortFunc(rb.Addrs, func(a, b api.RouteAddr) int { return cmp.Compare(a.ID, b.ID) })
		into.Brokers = append(into.Brokers, rb)
	}
	// A Java NameServer answers in the order of its hash tables.
	slices.SortStableFunc(into.Queues, func(a, b api.Queue) int { return cmp.Compare(a.Broker, b.Broker) })
	slices.SortStableFunc(into.Brokers, func(a, b api.RouteBroker) int { return cmp.Compare(a.Broker, b.Broker) })
	return nil
}
