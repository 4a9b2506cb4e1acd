// Command window is the clients of Window.java on rocketmq-client-go, with the same arguments and output. This client has neither a
// poll that can be set nor fault latency, so its kinds are plain, ordered and consumer. What its route names is seen by whoever
// chooses a queue: at each message, and in a consumer at each rebalance, every 20 s.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const (
	spread = 30 * time.Second
	look   = 50 * time.Millisecond
)

type window struct {
	nameServers    primitive.NsResolver
	topic, watched string
	every          time.Duration
	out            sync.Mutex
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 5 {
		return fmt.Errorf("want name servers, topic, broker, pause in ms, KIND=COUNT...; got %q", args)
	}
	every, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	rlog.SetLogLevel("fatal")
	w := &window{
		nameServers: primitive.NewPassthroughResolver(strings.Split(args[0], ";")),
		topic:       args[1], watched: args[2], every: time.Duration(every) * time.Millisecond,
	}
	failed := make(chan error)
	for _, arg := range args[4:] {
		kind, number, _ := strings.Cut(arg, "=")
		count, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
		for k := range count {
			go func() {
				time.Sleep(spread * time.Duration(k) / time.Duration(count))
				if err := w.client(kind, fmt.Sprintf("%s-%d", kind, k)); err != nil {
					failed <- fmt.Errorf("%s: %w", kind, err)
				}
			}()
		}
	}
	return <-failed
}

func (w *window) client(kind, name string) error {
	switch kind {
	case "plain":
		return w.produce(name, producer.NewRoundRobinQueueSelector(), 2)
	case "ordered":
		return w.produce(name, &byKey{}, 0)
	case "consumer":
		return w.consume(name)
	}
	return fmt.Errorf("no such kind")
}

func (w *window) say(format string, args ...any) {
	w.out.Lock()
	defer w.out.Unlock()
	fmt.Printf(format+"\n", args...)
}

// sight is what one client's route was seen to name.
type sight struct {
	*window
	name  string
	named bool
}

func (s *sight) see(queues []*primitive.MessageQueue) {
	now := false
	for _, q := range queues {
		now = now || q.BrokerName == s.watched
	}
	if now == s.named {
		return
	}
	s.named = now
	state := 0
	if now {
		state = 1
	}
	s.say("ROUTE %s %d %d", s.name, time.Now().UnixMilli(), state)
}

// byKey takes the queues in turn, as a hash of the messages' keys would.
type byKey struct{ next int }

func (b *byKey) Select(_ *primitive.Message, queues []*primitive.MessageQueue, _ string) *primitive.MessageQueue {
	b.next++
	return queues[b.next%len(queues)]
}

// counting counts the attempts of the one message that is under way, and looks at the route.
type counting struct {
	producer.QueueSelector
	sight
	attempts int
}

func (c *counting) Select(m *primitive.Message, queues []*primitive.MessageQueue, last string) *primitive.MessageQueue {
	c.attempts++
	c.see(queues)
	return c.QueueSelector.Select(m, queues, last)
}

func (w *window) produce(name string, selector producer.QueueSelector, retries int) error {
	c := &counting{QueueSelector: selector, sight: sight{window: w, name: name}}
	p, err := rocketmq.NewProducer(
		producer.WithNsResolver(w.nameServers),
		producer.WithGroupName("window_producer"),
		producer.WithInstanceName(name),
		producer.WithRetry(retries),
		producer.WithQueueSelector(c),
	)
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	pause := time.NewTicker(w.every)
	for id := 0; ; id++ {
		c.attempts = 0
		start := time.Now()
		result, err := p.SendSync(context.Background(), primitive.NewMessage(w.topic, []byte(strconv.Itoa(id))))
		took := time.Since(start)
		end := "OK"
		switch {
		case err != nil:
			end = "FAIL " + strings.Join(strings.Fields(err.Error()), " ")
		case result.Status != primitive.SendOK:
			end = fmt.Sprint("FAIL status ", result.Status)
		}
		w.say("SEND %s %d %d %d %s", name, start.UnixMilli(), took.Microseconds(), c.attempts, end)
		<-pause.C
	}
}

func (w *window) consume(name string) error {
	s := sight{window: w, name: name}
	var got atomic.Int64
	c, err := rocketmq.NewPushConsumer(
		consumer.WithNsResolver(w.nameServers),
		consumer.WithGroupName(fmt.Sprintf("window_%s_%d", name, os.Getpid())),
		consumer.WithInstance(name),
		consumer.WithStrategy(func(group, id string, all []*primitive.MessageQueue, ids []string) []*primitive.MessageQueue {
			s.see(all)
			return consumer.AllocateByAveragely(group, id, all, ids)
		}),
	)
	if err != nil {
		return err
	}
	err = c.Subscribe(w.topic, consumer.MessageSelector{}, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		got.Add(int64(len(messages)))
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	for range time.Tick(look) {
		if n := got.Swap(0); n > 0 {
			w.say("GOT %s %d %d", name, time.Now().UnixMilli(), n)
		}
	}
	return nil
}
