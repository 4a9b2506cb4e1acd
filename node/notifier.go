package node

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

const (
	// notifyBudget is what the original allows for one notification, connecting included.
	notifyBudget = 300 * time.Millisecond
	// notifyAtOnce bounds the frames under way; more are dropped, for brokers ask for their group every second anyway.
	notifyAtOnce = 256
)

// notifier sends NOTIFY_MIN_BROKER_ID_CHANGE (905) to brokers: one-way, on connections of its own, and awaits nothing
// (RouteInfoManager.notifyMinBrokerIdChanged). Unlike the original it does so outside of the table's lock, and a broker
// that cannot be reached does not keep the others from being told.
type notifier struct {
	client rpc.ClientConfig
	log    *slog.Logger
	opaque atomic.Int32
	slots  chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
}

func newNotifier(t *config.TLS, log *slog.Logger) *notifier {
	n := &notifier{client: rpc.DefaultClientConfig(), log: log, slots: make(chan struct{}, notifyAtOnce)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	useClientTLS(&n.client, t, log)
	return n
}

func (n *notifier) stop(context.Context) error {
	n.cancel()
	n.group.Wait() // every send ends within its budget
	return nil
}

// send starts the frames of one notification and does not wait for them.
func (n *notifier) send(note *routes.Notification) {
	cmd := remoting.Command{
		Code: remoting.NotifyMinBrokerIDChange, Version: remoting.Version, Flag: remoting.FlagOneway,
		Opaque: n.opaque.Add(1), // one for all receivers, as in the original
		Ext: map[string]string{
			"minBrokerId":   strconv.FormatInt(note.MinID, 10),
			"minBrokerAddr": note.MinAddr,
		},
	}
	if note.Offline.Valid {
		cmd.Ext["offlineBrokerAddr"] = note.Offline.S
	}
	if note.HA.Valid {
		cmd.Ext["haBrokerAddr"] = note.HA.S
	}
	n.log.Info("smallest broker id changed", "broker", note.Broker, "min_id", note.MinID, "min_addr", note.MinAddr,
		"receivers", len(note.Receivers))
	for _, addr := range note.Receivers {
		select {
		case n.slots <- struct{}{}:
			n.group.Go(func() {
				defer func() { <-n.slots }()
				if err := n.sendTo(addr, cmd); err != nil {
					n.log.Warn("broker not notified", "addr", addr, "err", err)
				}
			})
		default:
			n.log.Warn("broker not notified: too many notifications under way", "addr", addr)
		}
	}
}

func (n *notifier) sendTo(addr string, cmd remoting.Command) error {
	ctx, cancel := context.WithTimeout(n.ctx, notifyBudget)
	defer cancel()
	client, err := rpc.Dial(ctx, addr, n.client)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.InvokeOneway(ctx, &cmd)
}
