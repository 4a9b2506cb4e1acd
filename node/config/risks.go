package config

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
)

// risksOf says why a change of a running node by code 318 must not be kept: everybody can send it, and what it writes is read at
// the next start. Beside the checks of a start it looks at options that have changed, for values that start but would harm the
// node or its stop; those that stood in the operator's own file stay as they are. The error joins a *Fault for each.
func (c *Config) risksOf(before *Config) error {
	faults := []error{c.Validate()}
	for _, opt := range options {
		text := opt.text(&c.Options)
		if text == opt.text(&before.Options) {
			continue
		}
		remedy := ""
		if opt.within != nil {
			remedy = opt.within.fault(text)
		}
		if opt.risk != nil {
			remedy = opt.risk(&c.Options)
		}
		if remedy != "" {
			faults = append(faults, &Fault{Key: opt.name, Value: text, Remedy: remedy})
		}
	}
	if level := c.LogLevel(); level != before.LogLevel() {
		if _, err := ParseLevel(level); err != nil {
			faults = append(faults, &Fault{Key: logLevelKey, Value: level, Remedy: err.Error()})
		}
	}
	return errors.Join(faults...)
}

// limits are those of a number that code 318 may set; orZero allows 0 and less beside them, which is a default, or a rule that is off.
type limits struct {
	low, high int64
	orZero    bool
}

// All are wider than what nodes were seen to need. What is "their" is unused here, but the original makes threads and queues of it
// when it is given the file that code 318 writes, as on the way back to it.
var (
	threads      = &limits{1, 4096, false}
	waiting      = &limits{1, 1_000_000, false}
	theirThreads = &limits{1, 4096, true}
	theirWaiting = &limits{1, 1_000_000, true}
	scanMillis   = &limits{1000, 600_000, false}
	readySeconds = &limits{1, 100_000, true}
	idleSeconds  = &limits{60, math.MaxInt32, true} // a broker registers every 10 to 60 s
	bufferBytes  = &limits{4 << 10, 64 << 20, true}
	drainSeconds = &limits{1, 3600, true}
)

func (l *limits) fault(text string) string {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n >= l.low && n <= l.high || l.orZero && n <= 0 {
		return ""
	}
	or := ""
	if l.orZero {
		or = ", or 0"
	}
	return fmt.Sprintf("want %d to %d%s; only the file that a node starts with may say otherwise", l.low, l.high, or)
}

// riskOfPort refuses a port that the next start could not have, or that nobody would find.
func riskOfPort(o *Options) string {
	if o.ListenPort == 0 {
		return "want a port from 1 to 65535: nobody would find one that the system picks"
	}
	return riskOfBinding(o, int(o.ListenPort))
}

// riskOfAddress refuses an address that the next start could not listen at. Names are not looked up for whoever
// sends code 318, and nothing, which is loopback, is hardly what somebody meant who is elsewhere.
func riskOfAddress(o *Options) string {
	if o.BindAddress == "" || net.ParseIP(o.BindHost()) == nil {
		return "want an IP address of this host, such as 0.0.0.0 or ::; only the file that a node starts with may say otherwise"
	}
	return riskOfBinding(o, 0)
}

func riskOfBinding(o *Options, port int) string {
	if net.ParseIP(o.BindHost()) == nil {
		return "" // a name of the operator's own
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", net.JoinHostPort(o.BindHost(), strconv.Itoa(port)))
	if err != nil {
		return fmt.Sprintf("the next start could not listen there (%v)", err)
	}
	l.Close()
	return ""
}
