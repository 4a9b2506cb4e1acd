package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
)

func (p *program) routesCommand() *command.Command {
	var v view
	return p.inspect(command.Command{
		Name:      "routes",
		Usage:     "show which brokers serve a topic",
		UsageText: "epitaph routes [--socket PATH | -a HOST:PORT | -n HOST:PORT] [--json] TOPIC",
		Description: `Shows what a client is told: brokers, queues, permission (r: consumers may read, w: producers may write) and
addresses; id 0 is the master. With -n any NameServer is asked, the Java one too. Ends with 1 when nobody has the topic.`,
		Flags:    nameServerFlags(&v.nameServer),
		Argument: "TOPIC",
	}, &v, v.showRoute)
}

func (v *view) showRoute(ctx context.Context, args []string) error {
	topic := args[0]
	var r api.Route
	if v.nameServer.addr != "" {
		if err := routeOf(ctx, v.nameServer, topic, &r); err != nil {
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

// refusal is an answer with another code than that of success.
type refusal struct {
	server string
	code   int32
	remark string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s answers code %d: %s", r.server, r.code, r.remark)
}

func routeOf(ctx context.Context, server nameServer, topic string, into *api.Route) error {
	answer, err := server.ask(ctx, remoting.GetRouteInfoByTopic, map[string]string{"topic": topic})
	if err != nil {
		return err
	}
	if answer.Code == remoting.TopicNotExist {
		return fmt.Errorf("%s: no broker there has the topic %q", server.addr, topic)
	}
	r, err := body.DecodeTopicRoute(answer.Body)
	if err != nil {
		return fmt.Errorf("%s: decode route: %w", server.addr, err)
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
		order.By(rb.Addrs, func(a, b api.RouteAddr) int { return cmp.Compare(a.ID, b.ID) })
		into.Brokers = append(into.Brokers, rb)
	}
	// A Java NameServer answers in the order of its hash tables.
	order.Stable(into.Queues, func(a, b api.Queue) int { return cmp.Compare(a.Broker, b.Broker) })
	order.Stable(into.Brokers, func(a, b api.RouteBroker) int { return cmp.Compare(a.Broker, b.Broker) })
	return nil
}
