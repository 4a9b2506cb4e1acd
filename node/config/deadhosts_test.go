package config

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestDeadHosts(t *testing.T) {
	with := func(change func(*DeadHosts)) *DeadHosts {
		d := DefaultDeadHosts()
		change(&d)
		return &d
	}
	observe := func(d *DeadHosts) { d.Mode = DeadHostsObserve }
	for _, c := range []struct {
		d       *DeadHosts
		gossips bool
		want    string // of the fault; empty: there is none
	}{
		{with(func(*DeadHosts) {}), false, ""},
		{with(observe), true, ""},
		{with(observe), false, "--gossip is missing"},
		{with(func(d *DeadHosts) { d.Mode = DeadHostsOn }), true, ""},
		{with(func(d *DeadHosts) { d.Mode = DeadHostsOn }), false, "--gossip is missing"},
		{with(func(d *DeadHosts) { d.Mode = "On" }), true, `--dead-hosts="On": want off, observe or on`},
		{with(func(d *DeadHosts) { d.After = 6 * time.Second }), true, ""},
		{with(func(d *DeadHosts) { d.After = 6*time.Second - 1 }), true, `--dead-host-after="5.999999999s": want a time from 6s`},
		{with(func(d *DeadHosts) { d.After = time.Minute }), true, ""},
		{with(func(d *DeadHosts) { d.After = time.Minute + 1 }), true, "--dead-host-after"},
		{with(func(d *DeadHosts) { d.Nodes = 4096 }), true, ""},
		{with(func(d *DeadHosts) { d.Nodes = 4097 }), true, "--dead-host-nodes"},
		{with(func(d *DeadHosts) { d.Nodes = -1 }), true, "--dead-host-nodes"},
		{with(func(d *DeadHosts) { d.Brake = 1 }), true, ""},
		{with(func(d *DeadHosts) { d.Brake = 0 }), true, "--dead-host-brake"},
		{with(func(d *DeadHosts) { d.Brake = 1.01 }), true, "--dead-host-brake"},
		{with(func(d *DeadHosts) { d.Brake = math.NaN() }), true, "--dead-host-brake"},
		{with(func(d *DeadHosts) { d.Canary = nil }), true, "--dead-host-canary"},
		{with(func(d *DeadHosts) { d.Canary = make([]netip.Addr, 17) }), true, "--dead-host-canary"},
		{with(func(d *DeadHosts) { d.Canary[1] = netip.MustParseAddr("127.0.0.1") }), true, `--dead-host-canary="127.0.0.1"`},
		{with(func(d *DeadHosts) { d.Canary[1] = netip.MustParseAddr("fe80::1%eth0") }), true, "--dead-host-canary"},
		{with(func(d *DeadHosts) { d.Canary[1] = netip.Addr{} }), true, "--dead-host-canary"},
	} {
		text := ""
		if err := errors.Join(c.d.validate(c.gossips)...); err != nil {
			text = err.Error()
		}
		if (text == "") != (c.want == "") || !strings.Contains(text, c.want) {
			t.Errorf("%+v: %q, want %q", c.d, text, c.want)
		}
	}
}
