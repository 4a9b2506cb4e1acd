// Command goclient is a producer and a consumer on rocketmq-client-go, with the arguments and the output of Peer.java.
// It is a module of its own so that the client's dependencies stay out of epitaph's.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("want name server, topic, group, count, pause in ms; got %q", args)
	}
	nameServer, topic, group := args[0], args[1], args[2]
	count, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	every, err := strconv.ParseInt(args[4], 10, 64)
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	rlog.SetLogLevel("error")
	receive := func() error {
		if group == "-" {
			return nil
		}
		return consume(nameServer, topic, group)
	}
	if count == 0 {
		if err := receive(); err != nil {
			return err
		}
	} else if err := produce(nameServer, topic, count, time.Duration(every)*time.Millisecond, receive); err != nil {
		return err
	}
	fmt.Println("DONE")
	select {}
}

// resolver is a list, or the HTTP resolver where the name server is "domain:" and the HOST:PORT of an address server.
func resolver(nameServer string) primitive.NsResolver {
	if addr, ok := strings.CutPrefix(nameServer, "domain:"); ok {
		return primitive.NewHttpResolver("epitaph", "http://"+addr+"/rocketmq/nsaddr")
	}
	return primitive.NewPassthroughResolver(strings.Split(nameServer, ";"))
}

func consume(nameServer, topic, group string) error {
	c, err := rocketmq.NewPushConsumer(
		consumer.WithNsResolver(resolver(nameServer)),
		consumer.WithGroupName(group),
		consumer.WithInstance("consumer"),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	)
	if err != nil {
		return fmt.Errorf("make consumer: %w", err)
	}
	err = c.Subscribe(topic, consumer.MessageSelector{}, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, m := range messages {
			fmt.Println("GOT", m.GetKeys(), m.Queue.BrokerName)
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("start consumer: %w", err)
	}
	return nil
}

// produce sends, and calls sent after the first message: this client refuses to start a consumer of a topic without a route.
func produce(nameServer, topic string, count int64, every time.Duration, sent func() error) error {
	p, err := rocketmq.NewProducer(
		producer.WithNsResolver(resolver(nameServer)),
		producer.WithGroupName("go_producer"),
		producer.WithInstanceName("producer"),
	)
	if err != nil {
		return fmt.Errorf("make producer: %w", err)
	}
	if err := p.Start(); err != nil {
		return fmt.Errorf("start producer: %w", err)
	}
	pause := time.NewTicker(max(every, time.Millisecond))
	for id := int64(0); count < 0 || id < count; id++ {
		m := primitive.NewMessage(topic, []byte(fmt.Sprint("message ", id))).WithKeys([]string{fmt.Sprint(id)})
		if result, err := p.SendSync(context.Background(), m); err != nil {
			fmt.Println("FAIL", id, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("OK", id, result.MessageQueue.BrokerName)
			if sent != nil {
				if err := sent(); err != nil {
					return err
				}
				sent = nil
			}
		}
		<-pause.C
	}
	return nil
}
