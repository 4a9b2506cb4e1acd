package interop

import (
	"fmt"
	"strconv"
)

// Request codes that brokers answer.
const (
	codeCreateTopic = 17
	codeRuntimeInfo = 28
	codeMaxOffset   = 30
	codeTopicConfig = 351
)

// hasTopicConfig is nil when a broker has a topic in its own configuration.
func hasTopicConfig(broker, topic string) func() error {
	return func() error {
		a, err := call(broker, codeTopicConfig, map[string]string{"topic": topic, "lo": "true"})
		return a.Failed(err)
	}
}

// caughtUp is nil when a slave has as many messages as its master in each queue of a topic.
func caughtUp(master, slave, topic string, queues int) func() error {
	return func() error {
		for q := range queues {
			want, err := maxOffset(master, topic, q)
			if err != nil {
				return err
			}
			got, err := maxOffset(slave, topic, q)
			if err != nil {
				return err
			}
			if got != want {
				return fmt.Errorf("queue %d: slave has %d of %d", q, got, want)
			}
		}
		return nil
	}
}

func maxOffset(broker, topic string, queue int) (int, error) {
	a, err := call(broker, codeMaxOffset, map[string]string{"topic": topic, "queueId": strconv.Itoa(queue), "committed": "true"})
	if err := a.Failed(err); err != nil {
		return 0, fmt.Errorf("max offset at %s: %w", broker, err)
	}
	return strconv.Atoi(a.ExtFields["offset"])
}

// runtimeInfo is the table that a broker shows of itself.
func runtimeInfo(broker string) (map[string]string, error) {
	a, err := call(broker, codeRuntimeInfo, nil)
	var body struct{ Table map[string]string }
	if err := a.Decode(err, &body); err != nil {
		return nil, fmt.Errorf("runtime info of %s: %w", broker, err)
	}
	return body.Table, nil
}
